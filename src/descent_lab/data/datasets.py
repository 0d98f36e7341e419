"""Every data set's class, by its name."""

from descent_lab.data.base import Data, Dataset, Suggested
from descent_lab.data.builtin.bundled import BundledClassification, BundledRegression
from descent_lab.data.builtin.gaussian import Gaussian
from descent_lab.data.builtin.linear import Linear
from descent_lab.data.builtin.mnist1d import Mnist1d
from descent_lab.data.builtin.polynomials import Polynomials
from descent_lab.data.builtin.product import Product
from descent_lab.data.builtin.sign import Sign
from descent_lab.data.files.csv_file import CsvFile
from descent_lab.data.files.npz_file import NpzFile
from descent_lab.data.memory import Arrays

__all__ = [
    "Arrays",
    "BundledClassification",
    "BundledRegression",
    "CsvFile",
    "Data",
    "Dataset",
    "Gaussian",
    "Linear",
    "Mnist1d",
    "NpzFile",
    "Polynomials",
    "Product",
    "Sign",
    "Suggested",
]
