"""``make hostile``: files damaged, processes killed, answers forged, for as long as asked."""
