"""Roles stand in order, and patterns keep models and data sets from those who may not name them."""

from service.auth.identity import EVERYONE, NOBODY, Identity, Role, current, visible_models


def test_each_role_may_do_all_that_the_ones_before_it_may() -> None:
    assert Role.READ < Role.COMPUTE < Role.ADMIN
    assert Identity("ann", Role.ADMIN).is_admin
    assert not Identity("ann", Role.COMPUTE).is_admin


def test_a_server_without_keys_keeps_nothing_from_anybody() -> None:
    assert EVERYONE.is_admin
    assert EVERYONE.may_name_all
    assert EVERYONE.may_use_model("anything")
    assert EVERYONE.may_use_dataset("anything")


def test_who_has_shown_nothing_may_name_nothing() -> None:
    assert not NOBODY.may_use_model("digits-lenet5")
    assert not NOBODY.may_use_dataset("digits")
    assert not NOBODY.is_admin


def test_patterns_choose_models_and_tell_capitals_apart() -> None:
    ann = Identity("ann", Role.READ, models=("cifar10-*", "resnet?8"), datasets=("digits",))
    assert ann.may_use_model("cifar10-plain")
    assert ann.may_use_model("resnet18")
    assert not ann.may_use_model("CIFAR10-plain")
    assert not ann.may_use_model("resnet101")
    assert ann.may_use_dataset("digits")
    assert not ann.may_use_dataset("digits2")
    assert not ann.may_name_all


def test_visible_models_are_those_of_the_present_caller() -> None:
    token = current.set(Identity("ann", Role.READ, models=("cifar10-*",)))
    try:
        assert visible_models(["cifar10-plain", "alexnet"]) == ["cifar10-plain"]
    finally:
        current.reset(token)
    assert visible_models(["cifar10-plain", "alexnet"]) == ["cifar10-plain", "alexnet"]
