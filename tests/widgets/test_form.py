import dataclasses

import pytest
from qtpy.QtWidgets import QWidget

from napari_microgen.errors import InputError
from napari_microgen.methods import METHODS, get_method
from napari_microgen.widgets.form import ConfigForm, Folded, two_columns


@pytest.fixture
def make_form(qtbot):
    def make(config_class, overrides=None):
        page = QWidget()
        qtbot.addWidget(page)
        rows = two_columns()
        page.setLayout(rows)
        form = ConfigForm(rows, config_class, overrides or {})
        form.page = page
        return form

    return make


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_of_every_method_goes_through_the_form_unchanged(make_form, name):
    config_class = get_method(name).config_class
    form = make_form(config_class)
    for preset in config_class.presets:
        form.editors["preset"].value = preset
        assert form.config() == config_class.from_preset(preset)


@pytest.mark.parametrize("name", METHODS)
def test_every_field_is_there_with_its_help(make_form, name):
    config_class = get_method(name).config_class
    form = make_form(config_class)
    for field in dataclasses.fields(config_class):
        assert form.editors[field.name].native.toolTip() == field.metadata["help"]


def test_advanced_fields_are_folded_away_until_asked_for(make_form, field_method, qtbot):
    form = make_form(field_method)
    with qtbot.waitExposed(form.page):
        form.page.show()
    (folded,) = form.page.findChildren(Folded)
    pause, patch = form.editors["pause"].native, form.editors["patch"].native
    qtbot.waitUntil(lambda: pause.visibleRegion().isEmpty())
    assert not patch.visibleRegion().isEmpty()
    form.page.resize(400, 600)
    folded.toggleButton().click()
    qtbot.waitUntil(lambda: not pause.visibleRegion().isEmpty())


def test_values_stay_within_their_limits_and_show_their_unit(make_form, field_method):
    form = make_form(field_method)
    box = form.editors["width"].native
    assert (box.minimum(), box.maximum(), box.suffix()) == (0.5, 9, " voxel")
    with pytest.raises(ValueError, match="9"):
        form.editors["width"].value = 10


def test_preferences_go_before_presets(make_form, field_method):
    form = make_form(field_method, {"device": "cpu"})
    form.editors["preset"].value = "long"
    assert form.config().device == "cpu"
    assert form.config().minutes == 60


def test_an_edit_is_told_and_a_preset_is_told_once(make_form, field_method, qtbot):
    form = make_form(field_method)
    told = []
    form.changed.connect(lambda: told.append(form.config()))
    form.editors["patch"].value = 20
    form.editors["preset"].value = "long"
    assert [config.patch for config in told] == [20, 16]


def test_values_that_contradict_each_other_are_refused_with_a_sentence(make_form):
    form = make_form(get_method("slicegan").config_class)
    form.editors["widths"].value = "128 sixty-four"
    with pytest.raises(InputError, match="widths"):
        form.config()
