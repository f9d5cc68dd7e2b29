"""Proofs of an engine of batches: where the images stand."""

from __future__ import annotations

from tests.formal.sby import Mutation, Proof

_STRAIGHT = Mutation(
    "hne_act_lanes", "distance_q + {10'd0, image}", "distance_q", "the banks are not turned"
)
_NEIGHBOURS = Mutation(
    "hne_act_lanes", "fc_i ? 18'd0 : distance", "distance", "an fc layer reads neighbours"
)
_ONE_IMAGE = Mutation(
    "hne_act_lanes",
    "fc_i ? NUMBER[7:0] : image_i;",
    "image_i;",
    "all lanes of an fc layer read one image",
)
_ROUND = Mutation(
    "hne_turn",
    "| (line_o >> ((LANES * WIDTH) - (WIDTH << level)))",
    "",
    "what is turned beyond the last bank is lost",
)
_PAGE = Mutation("hne_act_lanes", "{lane_line, page_q}", "{lane_line, ~page_q}", "another page")
_TOO_MANY = Mutation(
    "hne_act_lanes", "n < BATCH || !fc_i", "n < COLS || !fc_i", "a lane without an image reads"
)

_PAGES = tuple(
    Proof(
        name=f"pages_{cols}x{batch}",
        claim="pages of a batch: each lane reads its own pixel of its own image, of a layer that "
        "runs for one image and of an fc layer that reads all, wherever the images stand turned, "
        "and padding outside of the map; what the turn writes is what is read",
        top="formal_pages",
        sources=("hne_turn", "hne_act_lanes"),
        parameters={"COLS": cols, "BATCH": batch, "LINE_W": 2},
        mode="bmc",
        depth=12,
        cover_depth=12,
        note="bounded: steps at four times, each of any place; nothing of a step is kept longer",
        mutations=mutations,
    )
    for cols, batch, mutations in (
        (4, 4, (_STRAIGHT, _NEIGHBOURS, _ONE_IMAGE, _ROUND, _PAGE)),
        (4, 2, (_TOO_MANY,)),
    )
)

PROOFS = _PAGES
