"""Sequencer (twin: rtl/hne_sequencer.v): walks program.mem; layers are barriers.

``stub``
"""
