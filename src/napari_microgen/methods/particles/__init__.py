"""Particles with grains: an outer shell from CT and inner grains from planar sections.

Paper 004: `segmentation`, `harmonics`, `shell` and `distributions` are its outer shell.
"""
