"""What is measured, one file per family; `report` measures an image or compares two.

`fidelity` scores generated volumes while a model trains. All functions take arrays of phase
indices (255 unlabelled) with axes in the order z, y, x, and say their convention and unit.
"""
