from __future__ import annotations

import os
import unittest
from pathlib import Path
from unittest import mock

from atles_client import _places
from atles_client._places import paths_in_toml

from .support import HomeCase

REPOSITORY = Path(__file__).resolve().parents[3]


class Places(HomeCase):
    def test_the_argument_goes_before_the_variable_and_that_before_the_configuration(self):
        os.environ["ATLES_SPOOL"] = str(self.root / "variable")
        self.assertEqual(_places.find(self.root / "argument").spool, self.root / "argument")
        self.assertEqual(_places.find().spool, self.root / "variable")
        del os.environ["ATLES_SPOOL"]
        self.assertEqual(_places.find(), (self.spool, self.home, self.config))

    def test_the_configuration_of_a_spool_that_was_named_is_found_beside_it(self):
        del os.environ["ATLES_CONFIG"]
        self.assertEqual(_places.find(self.spool), (self.spool, self.home, self.config))
        other = self.home / "other"
        self.assertEqual(_places.find(other), (other, self.home, None))

    def test_configurations_are_looked_for_where_the_command_looks(self):
        def configured(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "pipeline.toml").write_text("")
            return folder / "pipeline.toml"

        del os.environ["ATLES_CONFIG"]
        empty = self.root / "tmp"
        os.chdir(empty)
        self.addCleanup(os.chdir, "/")
        self.assertIsNone(_places.find_config())
        user = configured(self.root / "user" / ".config" / "atles")
        self.assertEqual(_places.find_config(), user)
        os.environ["XDG_CONFIG_HOME"] = "relative"
        self.assertEqual(_places.find_config(), user)
        os.environ["XDG_CONFIG_HOME"] = str(self.root / "xdg")
        self.assertIsNone(_places.find_config())
        xdg = configured(self.root / "xdg" / "atles")
        self.assertEqual(_places.find_config(), xdg)
        here = configured(empty)
        self.assertEqual(_places.find_config(), here)
        os.environ["ATLES_CONFIG"] = str(self.root / "gone.toml")
        self.assertEqual(_places.find_config(), self.root / "gone.toml")
        self.assertIsNone(_places.find().spool, "nothing is tried in the place of a file that was named")

    def test_both_readers_find_the_same_paths(self):
        texts = {
            "": {},
            "[home]\npath = 'a b'\n[spool]\npath = \"c\\\\d\" # [x]\n": {"home": "a b", "spool": "c\\d"},
            "[home]\n# path = \"no\"\n[logs]\npath = 'no'\n[[stage]]\npath = 'no'\n": {},
            "home.path = 'a'\nspool = { settle = '1s', path = 'b' }\n": {"home": "a", "spool": "b"},
            "[ spool ]\nsettle=\"1s\"\npath=\"/x/y\"\ndone = \"/z\"\n[logs.rotate]\n": {"spool": "/x/y"},
            "[spool]\nhome.path = 'no'\n": {},
        }
        default = REPOSITORY / "pipeline.toml"
        if default.is_file():
            texts[default.read_text("utf-8")] = {"home": "atles_memory"}
        for text, expected in texts.items():
            self.assertEqual(paths_in_toml(text), expected, text)
            self.assertEqual(_places._settings(text), expected, text)

    def test_a_configuration_that_cannot_be_read_is_no_disaster(self):
        self.config.write_bytes(b"[home\npath = \xff")
        self.assertIsNone(_places.find().spool)

    def test_somebody_else_s_fallback_folder_is_not_used(self):
        folder = self.root / "tmp" / "theirs"
        folder.mkdir()
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
            with self.assertRaises(PermissionError):
                _places.make_ready(folder, parents=True)
        else:
            with mock.patch("atles_client._places.os.getuid", return_value=os.getuid() + 1):
                with self.assertRaises(PermissionError):
                    _places.make_ready(folder, parents=True)


if __name__ == "__main__":
    unittest.main()
