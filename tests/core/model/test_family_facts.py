"""What families.py and shapes.py say of a family is what its code has."""

from __future__ import annotations

import inspect
from importlib.util import find_spec

import paddle
import pytest

from llm.core.model import shapes
from llm.core.model.families import FAMILIES
from tests.core.model_folders import FAMILIES as CONFIGS

EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@EVERY_FAMILY
def test_sizes_that_config_json_lacks_are_those_that_its_configuration_assumes(family):
    signature = inspect.signature(family.causal_lm().config_class.__init__).parameters
    assert {name: signature[name].default for name in family.defaults} == family.defaults


@EVERY_FAMILY
def test_layouts_and_arguments_that_its_code_has(family):
    module = inspect.getmodule(family.causal_lm()).__package__
    assert family.has_pipeline == (find_spec(f"{module}.modeling_pp") is not None)
    if family.has_pipeline:
        assert issubclass(family.head_in_stages(), paddle.nn.Layer)
        assert family.causal_lm_in_stages().config_class is family.causal_lm().config_class
    source = inspect.getsource(inspect.getmodule(family.causal_lm()))
    assert family.has_sequence_parallel == ("config.sequence_parallel" in source)
    layers = getattr(inspect.getmodule(family.causal_lm()), f"{family.name}Model")
    assert family.mask_argument in inspect.signature(layers.forward).parameters


@pytest.mark.parametrize("name", CONFIGS)
def test_names_and_shapes_are_those_of_its_model(name):
    settings = {key: value for key, value in CONFIGS[name].items() if key not in ("model_type", "rope_scaling")}
    family = FAMILIES[CONFIGS[name]["model_type"]]
    config = family.causal_lm().config_class(**settings)
    model = family.causal_lm()(config)
    expected = shapes.of_model(config)
    assert {name: list(weight.shape) for name, weight in model.state_dict().items()} == expected
    assert set(shapes.PROJECTIONS) == set(shapes.projections(config))
    biased = {name.split(".")[-2] for name in expected if name.endswith(".bias")}
    assert biased == set(family.biased)
