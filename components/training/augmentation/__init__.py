"""Random augmentation of training batches, on the device of the batch.

Every draw comes from a CPU generator whose state depends on the seed and the step alone, so that a training resumes bit
for bit and augments alike on every device. One kind of augmentation a module; `inputs` applies those of a pipeline to
the input of a network, the objectives move boxes, masks and targets along.
"""
