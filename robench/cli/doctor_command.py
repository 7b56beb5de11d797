"""``robench doctor``: what is here, and what is not."""

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT


@click.command("doctor", context_settings=CONTEXT, short_help="What is installed and found here.")
def command() -> int:
    """Print versions, devices, free disk, plugin folders and what is missing or broken.

    Leaves with 1 when a plugin file is broken.
    """
    import shutil
    from pathlib import Path

    import torch

    from robench import __version__, plugins
    from robench.adversary.packages import AUTOATTACK
    from robench.device import choose, facts
    from robench.versions import version

    rows = [("robench", __version__), ("torch", torch.__version__)]
    rows += [(name, version(name) or "missing") for name in ("torchvision", "numpy", "pandas")]
    attack = next((f"{name} {found}" for name in AUTOATTACK if (found := version(name))), None)
    extra = "missing; pip install 'robench[attacks]'"
    rows += [("autoattack", attack or extra), ("torchattacks", version("torchattacks") or extra)]
    count = torch.cuda.device_count()
    devices = [torch.cuda.get_device_name(i) for i in range(count)]
    rows.append(("cuda", ", ".join(devices) or "none; everything runs on the CPU"))
    rows += [(name, str(value)) for name, value in facts(choose("auto")).items()]
    rows.append(("free disk", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB"))
    broken = 0
    for kind in plugins.KINDS:
        rows += [(kind, str(folder)) for folder in plugins.folders(kind)]
        for source in plugins.find(kind).values():
            if source.problem:
                broken += 1
                rows.append(("BROKEN", source.problem))
    for name, text in rows:
        echo(f"{name:<17} {text}")
    return int(broken > 0)
