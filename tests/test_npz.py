"""Files of arrays that the harness writes itself are read by np.load and by any other program for ZIP files."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from harness import make_config

from descent_lab.tracking import npz, outbox

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


def test_a_configuration_written_part_by_part_is_that_of_the_whole():
    settings = make_config("optimizer=adam", "model.hidden=[3,3]", "tracking.experiment='a: b'").tracked.settings
    text = outbox._as_yaml(settings)
    assert text == yaml.dump(dict(settings), Dumper=outbox.DUMPER, sort_keys=False)
    assert yaml.safe_load(text) == settings
