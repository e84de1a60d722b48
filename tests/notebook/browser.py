"""A real JupyterLab and a real Chromium, for tests and benchmarks of the explorer."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

BROWSER = os.environ.get("SEURAT_TRACKS_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
"""Path of the browser, found or given; None where there is none."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL in software, as there is no graphics card
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)

ROOT_SELECTOR = ".seurat-explorer"


def missing() -> str:
    """Say what is missing for a browser test; empty if nothing is."""
    if BROWSER is None:
        return "no Chromium: install it, or name it in SEURAT_TRACKS_CHROMIUM"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "no playwright: pip install playwright"
    return ""


@contextlib.contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """Start the browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=BROWSER, args=[*ARGUMENTS, *more]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def jupyter_lab(folder: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """Start JupyterLab on a free port over a folder of its own; gives its address."""
    settings = folder / ".jupyter" / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    for name, value in (
        ("notification", {"fetchNews": "false", "checkForUpdates": False}),
        ("themes", {"theme": theme}),
    ):
        file = settings / f"{name}.jupyterlab-settings"
        file.write_text(json.dumps(value))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {
        f"JUPYTER_{name}_DIR": str(folder / ".jupyter" / name.lower())
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    places["JUPYTERLAB_SETTINGS_DIR"] = str(folder / ".jupyter" / "settings")
    places["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / ".jupyter" / "workspaces")
    env = (
        os.environ
        | places
        | {
            "PYTHONPATH": f"{ROOT}:{ROOT / 'napari_plugin'}",
            "OMP_NUM_THREADS": "1",
        }
    )
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
                *("--ServerApp.token=", "--ServerApp.password="),
                f"--ServerApp.root_dir={folder}",
                "--ServerApp.allow_root=True",
            ],
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if server.poll() is not None:
                break
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
                break
            time.sleep(0.25)
        else:
            raise RuntimeError("JupyterLab does not answer")
        if server.poll() is not None:
            raise RuntimeError((folder / "lab.log").read_text()[-2000:])
        yield address
    finally:
        # the server and its kernels, which are of its own session
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of code cells."""
    content = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{k}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": text,
            }
            for k, text in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))
    return path


class LabPage:
    """One notebook, open in JupyterLab; remembers what went wrong in the browser."""

    # What JupyterLab itself says in a fresh folder.
    HARMLESS = (
        "favicon",
        "Failed to load resource",
        "workspaces",
        "the server responded",
    )

    def __init__(self, browser: Any, address: str, notebook: str, **context: Any):
        settings = {"viewport": {"width": 1400, "height": 1000}} | context
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.errors: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{address}/lab/tree/{notebook}?reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        # cells that are run before the kernel is there are forgotten
        self.page.wait_for_function(
            "() => document.querySelector('#jp-bottom-panel, #jp-main-statusbar')"
            "?.textContent.includes('| Idle')"
        )

    def _heard(self, message: Any) -> None:
        if message.type == "error" and not any(
            h in message.text for h in self.HARMLESS
        ):
            self.errors.append(message.text)

    def run_cell(self, k: int) -> None:
        """Run the k-th cell; does not wait for it."""
        cell = self.page.locator(".jp-Notebook .jp-Cell").nth(k)
        cell.locator(".jp-InputArea-prompt").click()
        self.page.keyboard.press("Control+Enter")

    def output(self, k: int) -> str:
        """Text below the k-th cell, once it has run."""
        cell = self.page.locator(".jp-Notebook .jp-Cell").nth(k)
        self.page.wait_for_function(
            """k => /\\[\\d+\\]/.test(
            document.querySelectorAll('.jp-Notebook .jp-Cell')[k]
            .querySelector('.jp-InputArea-prompt').textContent)""",
            arg=k,
        )
        return cell.locator(".jp-OutputArea").inner_text()

    def ask(self, k: int) -> str:
        """Run the k-th cell and give its output."""
        self.page.evaluate(
            """k => { document.querySelectorAll('.jp-Notebook .jp-Cell')[k]
            .querySelector('.jp-InputArea-prompt').textContent = ''; }""",
            k,
        )
        self.run_cell(k)
        return self.output(k)

    def close(self) -> None:
        self.context.close()
