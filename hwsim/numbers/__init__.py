"""Sizes, number formats and hashing: the integers that every other room agrees on."""
