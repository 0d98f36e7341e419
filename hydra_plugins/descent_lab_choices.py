"""Where descent-lab's own commands find choices: its folder conf, and those that plug-ins bring.

Hydra loads this file for every application in the environment, so imports stay light and others are left alone.
"""

import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf


class Choices(SearchPathPlugin):
    """Adds the folders of plug-ins behind descent-lab's own, and fills choices with the defaults of their classes."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from descent_lab.paths import CONF

        if str(CONF) not in {str(place.path).removeprefix("file://") for place in search_path.get_path()}:
            if "descent_lab.cli.defaults" in sys.modules:  # both applications are in this process
                sys.modules["descent_lab.cli.defaults"].fill_sources(False)
            return
        from descent_lab import plugins
        from descent_lab.cli.defaults import fill_sources
        from descent_lab.paths import CACHE

        OmegaConf.register_new_resolver("descent_lab.cache", lambda name: str(CACHE / name), replace=True)
        OmegaConf.register_new_resolver("descent_lab.example", _example, replace=True)
        fill_sources()
        for folder in plugins.conf_folders():
            search_path.append("plug-in", f"file://{folder}")


def _example(name: str, words: str, what: str) -> str:
    """A line of the help: a command as it is called here, and what it does."""
    from descent_lab.paths import command

    return f"{f'{command(name)} {words}':58} {what}"
