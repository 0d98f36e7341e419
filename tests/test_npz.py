"""Files of arrays that the harness writes itself are read by np.load and by any other program for ZIP files."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from harness import make_config

from descent_lab.tracking import npz, outbox
from descent_lab.tracking.reader.arrays import Artifacts

ARRAYS = {
    "train/loss": np.linspace(0, 1, 7),
    "step": np.arange(5),
    "of two axes": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "every second": np.arange(10.0)[::2],
    "no rows": np.empty((0, 4)),
    "one number": np.array(2.5),
    "float32, big-endian": np.array([1.5, -2], dtype=">f4"),
    "Größe": np.array([True, False]),
    "names": np.array(["a", "bc"]),
}


@pytest.mark.parametrize("arrays", [ARRAYS, {}, {"one": np.ones(3)}], ids=["many", "none", "one"])
def test_what_is_written_is_read_again(tmp_path, arrays):
    path = tmp_path / "arrays.npz"
    npz.write(path, arrays)
    with np.load(path, allow_pickle=False) as file:
        read = dict(file)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)
    checked = subprocess.run([sys.executable, "-m", "zipfile", "-t", path], capture_output=True, text=True)
    assert "Done testing" in checked.stdout and not checked.stderr


def test_a_damaged_file_is_noticed(tmp_path):
    path = tmp_path / "arrays.npz"
    npz.write(path, {"x": np.ones(100)})
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with pytest.raises(Exception, match="CRC"), np.load(path) as file:
        file["x"]


@pytest.mark.parametrize("save", [npz.write, lambda path, arrays: np.savez(path, **arrays)], ids=["ours", "savez"])
def test_files_are_read_as_numpy_reads_them(tmp_path, save, monkeypatch):
    path = tmp_path / "arrays.npz"
    straight = {name: array for name, array in ARRAYS.items() if name != "transposed"}
    for arrays in (straight, ARRAYS, {}):
        save(path, arrays)
        with np.load(path) as file:
            expected = dict(file)
        with monkeypatch.context() as patch:
            if arrays is straight:
                patch.setattr(np, "load", None)
            read = npz.read(path)
        assert list(read) == list(expected)
        for name, array in expected.items():
            assert read[name].dtype == array.dtype and np.array_equal(read[name], array) and read[name].flags.writeable
    save(path, ARRAYS)
    assert set(npz.read(path, {"step", "no such array"})) == {"step"}


def test_compressed_files_are_read(tmp_path):
    np.savez_compressed(tmp_path / "arrays.npz", **ARRAYS)
    assert list(npz.read(tmp_path / "arrays.npz")) == list(ARRAYS)


def test_no_damaged_file_is_taken_for_a_whole_one(tmp_path):
    """Whichever byte is another, and wherever the file ends early: the arrays are the same, or there are none."""
    path, arrays = tmp_path / "curves.npz", {"step": np.arange(5), "train/loss": np.linspace(0, 1, 5)}
    npz.write(path, arrays)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 7)]
    damaged += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(0, len(whole), 3)]
    artifacts = Artifacts("", {"run": tmp_path.as_uri()})
    for content in damaged:
        path.write_bytes(content)
        for name, read in artifacts.arrays("run", path.name).items():
            if name in arrays:
                np.testing.assert_array_equal(read, arrays[name])


def test_a_configuration_written_part_by_part_is_that_of_the_whole():
    settings = make_config("optimizer=adam", "model.hidden=[3,3]", "tracking.experiment='a: b'").tracked.settings
    text = outbox._as_yaml(settings)
    assert text == yaml.dump(dict(settings), Dumper=outbox.DUMPER, sort_keys=False)
    assert yaml.safe_load(text) == settings
