"""Takes drops in, in processes that are killed at random moments (kill -9)."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from imaging_platform.intake.arrivals import list_arrivals
from imaging_platform.intake.zone import interrupted_drops
from tests.intake.drops import SECRET, Site, mr_bytes
from tests.intake.hostile import zip_of

FILES_A_DROP = 6


def files_of(number: int) -> dict[str, bytes]:
    """Return the images of one drop; no other drop has any of them."""
    return {
        f"{number}-{n}.dcm": mr_bytes(
            study=1 + number % 5, series=number + 1, instance=n
        )
        for n in range(1, FILES_A_DROP + 1)
    }


def send(site: Site, number: int) -> None:
    """Put a drop into the inbox, every other one as an archive."""
    if number % 2:
        site.inbox.mkdir(parents=True, exist_ok=True)
        (site.inbox / f"{number}.zip").write_bytes(zip_of(files_of(number)))
    else:
        site.send(f"d{number}", files_of(number))


def take_all_in(site: Site) -> None:
    """Do what the sensor would ask for: what stands in the inbox or was interrupted."""
    there = {a.drop_id for a in list_arrivals(site.inbox, secret=SECRET)}
    for drop_id in sorted(there | set(interrupted_drops(site.zone))):
        site.index(drop_id)


def start_taking_in(site: Site) -> int:
    """Return the number of a process, of its own group, that takes all in."""
    child = os.fork()
    if child == 0:
        os.setsid()
        take_all_in(site)
        os._exit(0)
    return child


def main(folder: Path, n_kills: int) -> None:
    """Send a drop, start taking it in, kill that; again and again; then let it end."""
    # Before the forks: each child would import it anew.
    import pyarrow.parquet  # noqa: F401

    site, chance = Site(folder / "inbox", folder / "zone"), random.Random(20261128)
    send(site, 0)
    started = time.monotonic()
    os.waitpid(start_taking_in(site), 0)
    usual_s = time.monotonic() - started
    n_killed = 0
    for number in range(1, n_kills + 1):
        send(site, number)
        child = start_taking_in(site)
        time.sleep(chance.uniform(0, usual_s))
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            # Before it has a group of its own, there is nothing else to kill.
            try:
                os.killpg(child, signal.SIGKILL)
            except ProcessLookupError:
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            n_killed += 1
            usual_s *= 1.1
        else:
            # Some shall come to their end, but fewer than are killed.
            usual_s *= 0.8
    take_all_in(site)
    sys.stdout.write(f"{n_killed}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
