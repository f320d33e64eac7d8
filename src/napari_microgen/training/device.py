"""Where to compute: choosing a device, sparing the viewer a core, and measuring memory."""

from __future__ import annotations

import os

import psutil
import torch

from napari_microgen.errors import InputError


def choose_device(name: str) -> tuple[torch.device, str]:
    """Return the device called `name` and a phrase that says why.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    InputError
        If the device is not there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        chosen = next(n for n, there in available.items() if there)
        why = "no GPU that torch can use was found" if chosen == "cpu" else "a GPU was found"
        return torch.device(chosen), f"{_title(chosen)}, as {why}"
    if not available[name]:
        raise InputError(
            f"The device '{name}' is not available to torch on this machine; choose auto or cpu."
        )
    return torch.device(name), f"{_title(name)}, as chosen"


def measuring_device(name: str, needed: int) -> str:
    """Return the device to measure on: the chosen one, or the CPU where that cannot.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        What was chosen.
    needed : int
        Bytes of memory that it takes.

    Raises
    ------
    InputError
        If the device is not there.
    """
    device, _ = choose_device(name)
    # Torch has no sparse matrices on Apple's GPUs.
    able = device.type != "mps" and memory_available(device) >= needed
    return device.type if able else "cpu"


def _title(name: str) -> str:
    if name == "cuda":
        return f"CUDA ({torch.cuda.get_device_name()})"
    threads = torch.get_num_threads()
    cpu = f"CPU ({threads} thread{'s' if threads > 1 else ''})"
    return {"mps": "MPS (Apple GPU)", "cpu": cpu}[name]


def spare_threads(wanted: int = 0) -> int:
    """Let torch use `wanted` CPU threads; 0 leaves one core to the viewer. Return the number."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(wanted or max(1, (cores or 2) - 1), cores or 1)
    torch.set_num_threads(threads)
    return threads


def memory_in_use(device: torch.device) -> int:
    """Bytes held by torch on a GPU, or by this process on the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    return int(psutil.Process().memory_info().rss)


def memory_available(device: torch.device) -> int:
    """Bytes that can still be taken on `device`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)
