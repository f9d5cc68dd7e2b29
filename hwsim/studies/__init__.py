"""The papers' figures and tables, computed again: one file each, one runner for all.

A study is a grid of pure functions, parameters -> row. task: one of them, known by its content.
store: the rows, kept in one SQLite file. runner: what is not there is computed, by any executor.
subjects, measures and statics: which machine, and what is asked of it. campaign and outcomes: a
naive attack with its adaptive company, and what they did. catalog: names of the studies; claims:
what makes a sentence of a paper reproduced; output: what a study leaves behind.
"""
