"""One Dagster run in a process of its own."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading

import dagster as dg

from imaging_platform.processing.outstanding import RUN_APP, Order

LAUNCHED_BY = "imaging/launched_by"
SENSORS = {
    "index_drop": "drops",
    "process_session": "sessions",
    "summarize_cohort": "cohort",
}
_is_alone = threading.Event()
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def end_with_caller() -> None:
    """
    Interrupt this process when the one that started it is gone, however it ended.

    Otherwise an app of many hours would go on for nobody, while the next `process`
    takes its run for dead.
    """
    caller = multiprocessing.parent_process()
    # A shell that starts `process` in the background has this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        if caller is not None:
            caller.join()
            _is_alone.set()
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


def execute_order(order: Order, run_id: str) -> bool:
    """
    Run what `order` asks for and return whether all of it succeeded.

    The result is in Dagster's event log under `run_id`, as for any run.
    """
    try:
        return not _is_alone.is_set() and _execute(order, run_id)
    finally:
        if _is_alone.is_set():
            # The pool would go on with the next order, or wait for one for ever.
            os._exit(1)


def _execute(order: Order, run_id: str) -> bool:
    job = _load_definitions().resolve_job_def(f"{order.study}_{order.job}")
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(
            instance=instance,
            partition_key=order.partition or None,
            asset_selection=[dg.AssetKey([order.study, a]) for a in order.reasons]
            or None,
            run_id=run_id,
            run_config=QUIET,
            tags={
                LAUNCHED_BY: "process",
                "dagster/run_key": order.run_key,
                "dagster/sensor_name": f"{order.study}_{_sensor_of(order)}",
            },
            raise_on_error=False,
        )
    return result.success


def _sensor_of(order: Order) -> str:
    return "apps" if order.job.startswith(RUN_APP) else SENSORS[order.job]


@functools.cache
def _load_definitions() -> dg.Definitions:
    from imaging_platform.definitions import define_home
    from imaging_platform.settings import find_home

    return define_home(find_home())
