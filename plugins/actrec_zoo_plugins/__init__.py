"""The architectures that come with actrec-zoo, one package each."""

PLUGINS = ("tiny", "r3d", "r2d_attn", "timesformer", "videomae", "vivit", "vjepa2", "torchvision_video", "pytorchvideo")
"""Names of the packages, in the order of `actrec-zoo list`."""
