"""Defenses as rewrites of the weight ROM: Program -> Program.

rewriting: exact words, overflow policy, history. inhibition, augmentation, pruning: one defense
each, on a Program and on a float module. choice: which layers. recipe: several in a row.
"""
