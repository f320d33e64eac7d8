"""Particles in the viewer: shells, grains from several sections, whole ones, distributions."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from napari_microgen.io.tiff import read_tiff
from napari_microgen.methods.base import Origin
from napari_microgen.methods.particles.grain_model import GrainModel
from napari_microgen.methods.particles.grain_network import MarkerNetwork, MarkerRange
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.sample_particles import grain_section, true_shells

TINY = {
    "steps": 2, "minutes": 5.0, "batch": 4, "generated": 4, "threads": 1, "searched_start": False,
    "preview_seconds": 0.0, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def sections():
    return [grain_section(seed)[::2, ::2] for seed in (1, 2)]


@pytest.fixture
def viewer(make_napari_viewer, sections):
    """A viewer with two sections, and a point in the middle of each."""
    viewer = make_napari_viewer()
    common = {"scale": (0.1, 0.1), "units": ("um",) * 2, "axis_labels": ("y", "x")}
    viewer.add_points([[8.0, 8.0], [8.1, 8.2]], name="centres", units=("um",) * 2,
                      axis_labels=("y", "x"))  # fmt: skip
    for i, numbers in enumerate(sections, 1):
        viewer.add_labels(numbers, name=f"EBSD {i}", **common)
    return viewer


@pytest.fixture
def until(qtbot):
    def wait(condition, seconds=60):
        qtbot.waitUntil(lambda: bool(condition()), timeout=1000 * seconds)

    return wait


def balls(count=8, seed=0):
    """Ellipsoids of different sizes, none of which touches another."""
    random = np.random.default_rng(seed)
    numbers = np.zeros((30, 30, 30 * count), np.int32)
    z, y, x = np.indices((30, 30, 30)) - 15
    for i in range(count):
        a, b, c = random.uniform(5, 11, 3)
        inside = (z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2 <= 1
        numbers[:, :, 30 * i : 30 * i + 30][inside] = i + 1
    return numbers


def add_directionless_section(viewer, name):
    """Add a disc of grains that point anywhere."""
    y, x = np.indices((161, 161))
    points = np.random.default_rng(0).uniform(0, 161, (500, 2))
    _, cells = cKDTree(points).query(np.stack([y, x], -1))
    disc = (y - 80) ** 2 + (x - 80) ** 2 < 75**2
    viewer.add_labels(np.where(disc, cells + 1, 0), name=name, scale=(0.1, 0.1),
                      units=("um",) * 2, axis_labels=("y", "x"))  # fmt: skip


@pytest.fixture
def grains():
    torch.manual_seed(0)
    network = MarkerNetwork(MarkerRange(), spread=0.1)
    network.start_at((1.4, 4.5, 4.5), 25.0)
    origin = Origin("grains", {}, "numbered", (), (0.2,) * 3, "um")
    return GrainModel(origin, network, 0.0026, 0.075, 40.0)


@pytest.fixture
def shells():
    origin = Origin("shell", {}, "numbered", (), (300.0,) * 3, "nm")
    return ShellModel(origin, true_shells(), np.zeros((3, 100)), 300.0, 0.0)


# ---------------------------------------------------------------------- training


def test_grains_are_trained_on_several_layers_with_centres_from_points(open_dock, viewer, until):
    train = open_dock("Train")
    train.method.value = "grains"
    picker = train.inputs.pickers[0]
    assert [layer.name for layer in picker.value] == ["EBSD 2"]  # the one that is selected
    assert not train._rows.isRowVisible(train.inputs.zero.native)
    picker.value = [viewer.layers["EBSD 1"], viewer.layers["EBSD 2"]]
    train.centres.picker.value = viewer.layers["centres"]
    assert train.form.editors["centres"].value == "80.0 80.0; 81.0 82.0"
    viewer.layers["centres"].data = [[7.9, 8.0], [8.1, 8.2]]
    assert train.form.editors["centres"].value.startswith("79.0 80.0")
    for name, value in TINY.items():
        train.form.editors[name].value = value
    until(lambda: train.plan)
    assert [image.kind for image in train.plan.images] == ["numbered"] * 2
    train.start_button.click()
    until(lambda: train.jobs.models)
    assert train.jobs.models[0].model.origin.method == "grains"


def test_the_preview_is_seen_wherever_the_viewer_looks(open_dock, viewer, until):
    viewer.add_labels(np.zeros((80, 9, 9), int), name="other", scale=(0.1,) * 3,
                      units=("um",) * 3, axis_labels=("z", "y", "x"), visible=False)  # fmt: skip
    viewer.dims.set_point(0, 6.0)
    train = open_dock("Train")
    train.method.value = "grains"
    train.inputs.pickers[0].value = [viewer.layers["EBSD 1"]]
    for name, value in {**TINY, "preview_seconds": 1.0}.items():
        train.form.editors[name].value = value
    until(lambda: train.plan)
    train.start_button.click()
    until(lambda: "preview" in viewer.layers)
    low, high = viewer.layers["preview"].extent.world[:, 0]
    assert low <= viewer.dims.point[0] <= high
    until(lambda: not train.jobs.training.status.running)


def test_too_few_centres_are_told_of(open_dock, viewer, until):
    train = open_dock("Train")
    train.method.value = "grains"
    train.inputs.pickers[0].value = [viewer.layers["EBSD 1"], viewer.layers["EBSD 2"]]
    train.form.editors["centres"].value = "80 80"
    until(lambda: "2 sections and 1 centre" in train.check_line.text())
    assert not train.start_button.isEnabled()


@pytest.fixture
def stack(viewer, sections):
    """Both sections as slices of a stack, chosen in Train, and points that lie in them."""
    common = {"units": ("um",) * 3, "axis_labels": ("z", "y", "x")}
    viewer.add_labels(np.stack(sections), name="stack", scale=(2, 0.1, 0.1), **common)
    viewer.add_points([[2.0, 8.0, 8.1], [0.0, 8.2, 8.3]], name="in slices", **common)

    def choose(train):
        train.method.value = "grains"
        train.inputs.pickers[0].value = [viewer.layers["stack"]]
        train.form.editors["stack"].value = True
        train.centres.picker.value = viewer.layers["in slices"]
        return train

    return choose


def test_points_belong_to_the_slice_that_they_lie_in(open_dock, viewer, until, stack):
    train = stack(open_dock("Train"))
    assert train.form.editors["centres"].value == "82.0 83.0; 80.0 81.0"
    until(lambda: train.plan)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([[0, 8, 8], [0, 8.1, 8.1]], "2 points in slice 0, 0 points in slice 1 of 'stack'"),
        ([[0.4, 8, 8]], "0 points in slice 1 of 'stack'; place one in every slice"),
        ([[0, 8, 8], [2, 8, 8], [2.2, 9, 9]], "2 points in slice 1"),
        ([[0, 8, 8], [9, 8, 8]], "before or behind the slices of 'stack'"),
    ],
)
def test_slices_without_a_point_of_their_own_are_told_of(
    open_dock, viewer, until, stack, points, told
):
    train = stack(open_dock("Train"))
    until(lambda: train.plan)
    viewer.layers["in slices"].data = np.array(points, float)
    until(lambda: told in train.check_line.text())
    assert train.plan is None
    assert not train.start_button.isEnabled()
    viewer.layers["in slices"].data = [[0, 8, 8], [2, 8, 8]]
    until(lambda: train.plan)


def test_a_volume_that_is_no_stack_is_told_of_before_its_points(open_dock, viewer, until, stack):
    train = stack(open_dock("Train"))
    train.form.editors["stack"].value = False
    viewer.layers["in slices"].data = [[1.0, 8, 8]]
    until(lambda: "turn on 'stack'" in train.check_line.text())


def test_an_empty_points_layer_is_told_of(open_dock, viewer, until):
    train = open_dock("Train")
    train.method.value = "grains"
    viewer.layers["centres"].data = np.empty((0, 2))
    train.centres.picker.value = viewer.layers["centres"]
    until(lambda: train.plan)
    assert "'centres' holds no point, so the particles' centroids" in train.check_line.text()
    train.centres.picker.value = None
    until(lambda: train.plan and "no point" not in train.check_line.text())


def test_what_was_not_indexed_is_shown_filled(open_dock, viewer, until):
    train = open_dock("Train")
    train.method.value = "grains"
    until(lambda: train.plan)
    assert train.look_button.text() == "Show filled sections"
    train.look_button.click()
    until(lambda: "EBSD 2: filled" in viewer.layers)
    filled, before = viewer.layers["EBSD 2: filled"], viewer.layers["EBSD 2"]
    np.testing.assert_allclose(filled.scale, before.scale)
    kept = before.data > 0
    np.testing.assert_array_equal(filled.data[kept], before.data[kept])
    assert np.count_nonzero(filled.data) > 1.01 * np.count_nonzero(kept)


def test_every_step_of_the_segmentation_is_shown_and_shells_are_fitted(open_dock, viewer, until):
    random = np.random.default_rng(0)
    grey = np.where(balls() > 0, 150.0, 70.0)
    grey = np.pad(grey, 4, constant_values=70) + random.normal(0, 10, np.array(grey.shape) + 8)
    viewer.add_image(grey.astype(np.float32), name="CT", scale=(0.3,) * 3, units=("um",) * 3,
                     axis_labels=("z", "y", "x"))  # fmt: skip
    train = open_dock("Train")
    train.method.value = "shell"
    train.inputs.pickers[0].value = viewer.layers["CT"]
    until(lambda: train.plan)
    assert "only 8 whole particles" in train.check_line.text()  # fewer than ten are warned of
    train.look_button.click()
    until(lambda: "CT: whole particles" in viewer.layers)
    steps = ("smoothed", "watershed", "connected pieces", "merged", "whole particles")
    assert all(f"CT: {step}" in viewer.layers for step in steps)
    assert viewer.layers["CT: whole particles"].data.max() == 8
    train.start_button.click()
    until(lambda: train.jobs.models)
    assert train.jobs.models[0].model.origin.unit == "um"


def test_the_choice_among_laws_is_shown_where_shells_are_fitted_and_used(open_dock, viewer, until):
    viewer.add_labels(np.pad(balls(12), 2), name="balls", scale=(0.3,) * 3, units=("um",) * 3,
                      axis_labels=("z", "y", "x"))  # fmt: skip
    train = open_dock("Train")
    train.method.value = "shell"
    train.inputs.pickers[0].value = viewer.layers["balls"]
    until(lambda: train.plan)
    train.start_button.click()
    until(lambda: train.jobs.models)
    until(lambda: train.progress.laws.isVisibleTo(train))
    generate = open_dock("Generate")
    assert generate.folded_laws.isVisibleTo(generate)
    law = generate.chosen_model.law
    for table in (train.progress.laws.table, generate.laws.table):
        assert table.rowCount() == law.order + 1
        header = [table.horizontalHeaderItem(i).text() for i in range(table.columnCount())]
        assert header == ["Order", "Chosen", "normal", "log-normal", "t", "Parameters"]
        for order, choices in enumerate(law.choices):
            assert table.item(order, 1).text() == choices[0].family
            for each in choices:
                assert table.item(order, header.index(each.family)).cell.key == each.aic
        assert table.item(3, 3).text() == "–"  # no coefficient of order 3 is above 0 always
    radius = generate.chosen_model.coefficients[:, 0].mean() / np.sqrt(4 * np.pi) * 0.3
    told = train.progress.laws.table.item(0, 5).text()
    assert float(told.split("radius ")[1].split()[0]) == pytest.approx(radius, rel=0.1)


def test_other_models_have_no_laws_to_show(open_dock, grains):
    generate = open_dock("Generate")
    generate.jobs.add_model("grains", grains)
    assert not generate.folded_laws.isVisibleTo(generate)


def test_the_angles_of_a_section_that_points_nowhere_are_drawn(open_dock, viewer, until):
    add_directionless_section(viewer, "nowhere")
    train = open_dock("Train")
    train.method.value = "grains"
    train.inputs.pickers[0].value = [viewer.layers["nowhere"], viewer.layers["EBSD 1"]]
    until(lambda: train.plan)
    assert "'nowhere' do not point to the centre" in train.check_line.text()
    plot = train.warning_plot
    assert plot.isVisibleTo(train)
    (drawn,) = plot.plot.listDataItems()
    angles, shares = drawn.getData()
    np.testing.assert_allclose(angles, np.arange(7.5, 90, 15))
    assert shares.sum() == pytest.approx(100)
    assert "nowhere" in plot.legend.text()
    assert "EBSD" not in plot.legend.text()
    assert plot.plot.viewRange()[1][0] <= 0  # or chance would look large
    train.inputs.pickers[0].value = [viewer.layers["EBSD 1"]]
    until(lambda: train.plan)
    assert not plot.isVisibleTo(train)


# ---------------------------------------------------------------------- generating


def test_a_whole_particle_comes_with_its_table_and_its_surface(
    open_dock, viewer, until, grains, shells
):
    generate = open_dock("Generate")
    generate.jobs.add_model("shells", shells)
    generate.jobs.add_model("grains", grains)
    assert generate.chosen_model is grains
    ball = [side.value for side in generate.shape]
    generate.particles.shell.value = next(m for m in generate.jobs.models if m.name == "shells")
    assert [side.value for side in generate.shape] != ball
    generate.particles.voxel_size.value = "0.3"
    assert not generate._rows.isRowVisible(generate.confidence.native)
    generate.generate_button.click()
    until(lambda: "generated, seed 0" in viewer.layers)
    made = viewer.layers["generated, seed 0"]
    surface = viewer.layers["generated, seed 0 surface"]
    np.testing.assert_allclose(made.scale, 0.3)
    present = np.unique(made.data[made.data > 0])
    np.testing.assert_array_equal(made.features["index"], present)
    assert {"D1", "r", "volume (um^3)"} <= set(made.features)
    # The surface encloses the voxels, in the same place.
    inner = np.argwhere(made.data > 0)
    np.testing.assert_allclose(surface.data[0].max(0), inner.max(0), atol=1.5)
    np.testing.assert_allclose(surface.data[0].min(0), inner.min(0), atol=1.5)
    np.testing.assert_allclose(surface.translate, made.translate)


def test_a_voxel_size_that_is_none_is_refused(open_dock, shells):
    generate = open_dock("Generate")
    generate.jobs.add_model("shells", shells)
    generate.particles.voxel_size.value = "fine"
    assert "'fine' is no voxel size" in generate.check_line.text()
    assert not generate.generate_button.isEnabled()
    generate.particles.voxel_size.value = "300"
    assert generate.generate_button.isEnabled()


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ("1e-320", "choose a larger voxel size"),
        ("1e-9", "choose a larger voxel size"),
        ("1", "choose a larger voxel size or a smaller shape"),
        ("1e300", "choose a smaller voxel size"),
    ],
)
def test_voxel_sizes_out_of_all_proportion_are_told_of(open_dock, shells, size, told):
    generate = open_dock("Generate")
    generate.jobs.add_model("shells", shells)
    generate.particles.voxel_size.value = size
    assert told in generate.check_line.text()
    assert not generate.generate_button.isEnabled()


def test_coarse_voxels_and_seeds_without_end_are_told_of(open_dock, shells):
    generate = open_dock("Generate")
    generate.jobs.add_model("shells", shells)
    generate.particles.voxel_size.value = "4000"
    assert "only 1.6 voxels wide" in generate.check_line.text()
    assert generate.generate_button.isEnabled()
    generate.particles.voxel_size.value = "1000"
    generate.particles.count.value = 3
    generate.seed.value = 2**31 - 2
    assert "Seeds end at" in generate.check_line.text()


def test_lengths_that_cannot_be_matched_are_told_of(open_dock, grains):
    origin = Origin("shell", {}, "numbered", (), (1.0,) * 3, "pixel")
    nowhere = ShellModel(origin, true_shells(), np.zeros((3, 100)), 1.0, 0.0)
    generate = open_dock("Generate")
    generate.jobs.add_model("shells", nowhere)
    generate.jobs.add_model("grains", grains)
    generate.particles.shell.value = generate.jobs.models[0]
    assert "set the voxel size of both images" in generate.check_line.text()


def test_many_shells_lie_side_by_side_and_can_be_compared(open_dock, viewer, until, shells):
    generate = open_dock("Generate")
    generate.jobs.add_model("shells", shells)
    generate.particles.count.value = 9
    generate.generate_button.click()
    until(lambda: "generated, seeds 0-8" in viewer.layers)
    made = viewer.layers["generated, seeds 0-8"]
    assert list(made.features["particle"]) == list(range(9))
    assert len(np.unique(made.data)) == 10
    viewer.add_labels(balls(), name="real", scale=(300,) * 3, units=("nm",) * 3,
                      axis_labels=("z", "y", "x"))  # fmt: skip
    compare = open_dock("Compare")
    pane = compare.populations
    pane.kind.value = "particles"
    pane.inputs.pickers[0].value = made
    pane.inputs.pickers[1].value = [viewer.layers["real"]]
    pane.button.click()
    until(lambda: compare.comparisons.populations)
    names = [pane.table.item(i, 0).text() for i in range(pane.table.rowCount())]
    assert names[:3] == ["volume (nm³)", "surface (nm²)", "sphericity"]
    assert "roughness, order 5" in names
    result = compare.comparisons.populations
    assert (len(result.real["sphericity"]), len(result.generated["sphericity"])) == (8, 9)


def test_a_data_set_is_written_into_a_folder(open_dock, until, shells, tmp_path):
    generate = open_dock("Generate")
    generate.jobs.add_model("shells", shells)
    generate.particles.count.value = 2
    generate.write_set(str(tmp_path))
    until(lambda: "Wrote 2 particles" in generate.state_line.text())
    generate.write_set(str(tmp_path))
    until(lambda: "holds a data set already" in generate.state_line.text())
    assert read_tiff(tmp_path / "particle_00001.tif").data.max() == 1
    assert (tmp_path / "particles.csv").is_file()


# ---------------------------------------------------------------------- comparing


def test_sections_of_one_process_are_alike_and_those_of_another_are_not(open_dock, viewer, until):
    compare = open_dock("Compare")
    pane = compare.populations
    pane.inputs.pickers[0].value = viewer.layers["EBSD 1"]
    pane.inputs.pickers[1].value = [viewer.layers["EBSD 2"]]
    viewer.add_points([[8.0, 8.0]], name="centre", units=("um",) * 2, axis_labels=("y", "x"))
    pane.points.value = viewer.layers["centre"]
    pane.button.click()
    until(lambda: compare.comparisons.populations)
    distances = compare.comparisons.populations.distances
    assert set(distances) == {"angle (°)", "aspect", "area (um²)"}
    ((real, generated),) = compare.comparisons.populations.densities.values()
    assert generated == pytest.approx(real, rel=0.15)
    assert pane.table.item(0, 0).text() == "grains per um²"
    assert distances["aspect"].p > 0.01
    assert distances["area (um²)"].p > 0.01
    add_directionless_section(viewer, "Voronoi")
    pane.inputs.pickers[0].value = viewer.layers["Voronoi"]
    before = compare.comparisons.populations
    pane.button.click()
    until(lambda: compare.comparisons.populations is not before)
    distances = compare.comparisons.populations.distances
    assert distances["angle (°)"].p < 1e-4
    assert distances["angle (°)"].generated_mean == pytest.approx(45, abs=5)
    assert pane.plot.isVisibleTo(pane)


def test_centres_of_volumes_have_three_coordinates(open_dock, viewer, until):
    random = np.random.default_rng(0)
    z, y, x = np.indices((41, 41, 41)) - 20
    ball = z * z + y * y + x * x < 18**2
    blocks = (z // 5 + 9) * 400 + (y // 5 + 9) * 20 + x // 5 + 9
    common = {"axis_labels": ("z", "y", "x")}
    for name in ("one", "other"):
        viewer.add_labels(np.where(ball, random.permutation(9000)[blocks] + 1, 0), name=name,
                          **common)  # fmt: skip
    viewer.add_points([[20.0, 20.0, 20.0]], name="middle", **common)
    compare = open_dock("Compare")
    pane = compare.populations
    pane.inputs.pickers[0].value = viewer.layers["one"]
    pane.inputs.pickers[1].value = [viewer.layers["other"]]
    pane.points.value = viewer.layers["middle"]
    for kind, name in (
        ("grains in a volume", "sphericity"),
        ("grains in sections", "area (pixel²)"),
    ):
        pane.kind.value = kind
        pane.button.click()
        until(lambda name=name: name in getattr(compare.comparisons.populations, "distances", ()))
        until(lambda: not compare.comparisons.work.running)
        assert compare.comparisons.populations.distances[name].ks == 0
    pane.points.value = viewer.layers["centres"]
    pane.button.click()
    until(lambda: "are 2D and the particles 3D" in compare.comparisons.work.message)
    viewer.layers["middle"].data = [[90.0, 20.0, 20.0]]
    pane.points.value = viewer.layers["middle"]
    pane.button.click()
    until(lambda: "lies outside 'other'" in compare.comparisons.work.message)


def test_a_layer_against_itself_is_refused(open_dock, viewer, until):
    compare = open_dock("Compare")
    pane = compare.populations
    pane.inputs.pickers[0].value = viewer.layers["EBSD 1"]
    pane.inputs.pickers[1].value = [viewer.layers["EBSD 1"]]
    pane.button.click()
    until(lambda: "chosen twice" in compare.comparisons.work.message)
