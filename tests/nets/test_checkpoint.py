"""Checkpoints load as they were saved, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_networks import SAVES_WEIGHTS, VOXELS, e_f_labels, salts, scrambled, tiny_cgcnn, tiny_unet, tiny_vae

from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.nets.cgcnn import CGCNN
from crystalloop.models.nets.checkpoint import CARD, CheckpointError, load, read_card, save
from crystalloop.models.nets.configs import DECILES
from crystalloop.models.nets.unet import UNet, segment
from crystalloop.models.nets.vae import DensityVAE

pytestmark = [SAVES_WEIGHTS, pytest.mark.slow]
NETWORKS = {"unet": (tiny_unet, UNet), "vae": (tiny_vae, DensityVAE), "cgcnn": (tiny_cgcnn, CGCNN)}


def saved(tmp_path, name: str = "unet"):
    network = scrambled(NETWORKS[name][0]())
    return network, save(tmp_path / name, network, data_digest="data")


def predictions(network) -> np.ndarray:
    maps = draw_maps(salts()[:2], VOXELS)
    if isinstance(network, UNet):
        return segment(network, maps).occupancy
    if isinstance(network, DensityVAE):
        condition = np.eye(DECILES, dtype=np.float32)[:2]
        return network.decode(network.encode(maps, condition)[0], condition).maps
    return network.member_predictions(network.graphs(salts()[:2]))


class Interrupted:
    """A network during whose saving the machine loses its disk."""

    kind, config_type, config = UNet.kind, UNet.config_type, tiny_unet().config

    @property
    def networks(self):
        return {"unet": self}

    def save_weights(self, path):
        path.write_bytes(b"half of the wei")
        raise OSError("No space left on device")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loaded_network_predicts_what_the_saved_one_did(tmp_path, name):
    network, _ = saved(tmp_path, name)
    again = load(tmp_path / name, NETWORKS[name][1])
    assert again.config == network.config
    np.testing.assert_array_equal(predictions(again), predictions(network))


def test_the_card_says_what_the_network_is_and_was_trained_on(tmp_path):
    labels = e_f_labels(12)
    card = save(
        tmp_path / "cgcnn",
        tiny_cgcnn(labels),
        data_digest="abc",
        metrics={"loss": np.float32(0.5)},
        samples=12,
        train_s=3.5,
        notes={"seed": 7},
    )
    assert read_card(tmp_path / "cgcnn").sha256 == card.sha256
    card = read_card(tmp_path / "cgcnn")
    assert (card.kind, card.data_digest, card.samples, card.train_s) == ("cgcnn", "abc", 12, 3.5)
    assert (card.metrics, card.notes) == ({"loss": 0.5}, {"seed": 7})
    assert card.config["labels"][0] == 12


def test_equal_weights_have_one_digest_and_others_another(tmp_path):
    network, card = saved(tmp_path)
    tiny_unet()  # Keras counts layers in the process, and writes their numbers into the file
    assert save(tmp_path / "again", load(tmp_path / "unet", UNet), data_digest="data").digest == card.digest
    network.trainable[0].assign(network.trainable[0] + 1e-6)
    assert save(tmp_path / "other", network, data_digest="data").digest != card.digest


def test_saving_replaces_an_old_checkpoint_and_leaves_nothing_beside_it(tmp_path):
    saved(tmp_path)
    network = scrambled(tiny_unet(base=8))
    save(tmp_path / "unet", network, data_digest="data")
    assert load(tmp_path / "unet", UNet).config.base == 8
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path):
    network, card = saved(tmp_path)
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*unet: No space left.*free disk space"):
        save(tmp_path / "unet", Interrupted(), data_digest="data")
    assert read_card(tmp_path / "unet") == card
    np.testing.assert_array_equal(predictions(load(tmp_path / "unet", UNet)), predictions(network))
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]


def test_a_first_save_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="free disk space"):
        save(tmp_path / "unet", Interrupted(), data_digest="data")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*file.unet.*choose another folder"):
        save(tmp_path / "file" / "unet", tiny_unet(), data_digest="data")


def test_no_checkpoint_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=rf"no checkpoint in .*nowhere \({CARD} is missing\); train again"):
        load(tmp_path / "nowhere", UNet)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_flipped_byte_is_found(tmp_path, name):
    saved(tmp_path, name)
    weights = sorted((tmp_path / name).glob("*.h5"))[-1]
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=rf"{weights.name} is damaged: sha256 .* restore the folder or train again"
    ):
        load(tmp_path / name, NETWORKS[name][1])


def test_a_missing_weights_file_is_found(tmp_path):
    saved(tmp_path, "vae")
    (tmp_path / "vae" / "decoder.weights.h5").unlink()
    with pytest.raises(CheckpointError, match=r"decoder.weights.h5 is missing though .* lists it; restore"):
        load(tmp_path / "vae", DensityVAE)


def test_another_kind_of_network_is_not_loaded(tmp_path):
    saved(tmp_path, "vae")
    with pytest.raises(CheckpointError, match="holds a vae, a unet was asked for; name the other folder"):
        load(tmp_path / "vae", UNet)


def test_another_grid_is_not_loaded(tmp_path):
    saved(tmp_path)
    assert load(tmp_path / "unet", UNet, n=8).config.n == 8
    with pytest.raises(CheckpointError, match=r"trained on 8\^3 voxels, the maps have 16\^3; set voxels.n to 8"):
        load(tmp_path / "unet", UNet, n=16)


def other_sizes(card: dict) -> None:
    card["config"]["base"] = 6


def other_weights(card: dict) -> None:
    card["digest"] = "0" * 64


def drop_field(card: dict) -> None:
    del card["config"]["norm"]


def add_field(card: dict) -> None:
    card["config"]["colour"] = 1


def invalid_value(card: dict) -> None:
    card["config"]["base"] = 0


def newer_format(card: dict) -> None:
    card["format"] = 99


def no_samples(card: dict) -> None:
    del card["samples"]


def no_weights(card: dict) -> None:
    card["sha256"] = {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_weights, r"the weights are not those that .* describes; restore it or train again"),
        (other_sizes, r"unet.weights.h5 does not fit the unet that .{,200}; train again$"),
        (drop_field, r"configuration differs in \['norm'\]; train again"),
        (add_field, r"configuration differs in \['colour'\]; train again"),
        (invalid_value, r"configuration is invalid \(base 0 is below 1 channel\); train again"),
        (newer_format, r"has format 99, this version reads 1; update"),
        (no_samples, r"does not have the fields .*samples"),
        (no_weights, r"lists \[\], a unet has \['unet.weights.h5'\]; train again"),
    ],
    ids=lambda value: getattr(value, "__name__", "-"),
)
@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras' own remark before it gives up
def test_a_card_that_does_not_fit_its_weights_is_an_error(tmp_path, change, said):
    saved(tmp_path)
    path = tmp_path / "unet" / CARD
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=said):
        load(tmp_path / "unet", UNet)


@pytest.mark.parametrize("content", ["{half", "[]", "null", ""])
def test_an_unreadable_card_is_an_error(tmp_path, content):
    saved(tmp_path)
    (tmp_path / "unet" / CARD).write_text(content)
    with pytest.raises(CheckpointError, match=rf"{CARD} .*; restore the folder or train again"):
        load(tmp_path / "unet", UNet)
