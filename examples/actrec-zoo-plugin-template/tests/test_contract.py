"""The contract that every model of the zoo keeps."""

from actrec_zoo.testing import check_model


def test_tsm_tiny() -> None:
    check_model("tsm:tsm_tiny")


def test_tsm_resnet18() -> None:
    check_model("tsm:tsm_resnet18", size=32)  # a smaller input than its own saves time
