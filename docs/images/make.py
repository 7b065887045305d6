"""Makes the pictures of the README from the runs in var/: `python docs/images/make.py`.

Needs two finished runs there, Chromium (Debian's, or CHROMIUM=PATH) and `pip install playwright`,
which drives it. Nothing else in the project needs either.
"""

import json
import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from mlflow.tracking import MlflowClient
from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from flows.api import free_port, is_up
from flows.environment import prepare_environment, var_directory
from flows.guard import start_guarded, stop_guarded
from flows.report import load_report, read_replies, replies_table
from flows.ui import mlflow_command
from tasks.tracking import EXPERIMENT, tracking_uri

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def main() -> None:
    var = var_directory()
    prepare_environment(var)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with closing(browser):
            page = browser.new_page(
                viewport={"width": 1200, "height": 800}, device_scale_factor=1.5
            )
            picture_replies(page, var)
            picture_comparison(page, var)


def picture_replies(page: Page, var: Path) -> None:
    """The table that ends a run, as the terminal shows it."""
    console = Console(record=True, width=116, file=Path(os.devnull).open("w", encoding="utf-8"))
    console.print(replies_table(read_replies(load_report(var, "demo").payload)))
    with tempfile.NamedTemporaryFile("w", suffix=".svg", encoding="utf-8") as svg:
        svg.write(console.export_svg(title="rlhf run --config demo"))
        svg.flush()
        page.goto(f"file://{svg.name}")
        page.locator("svg").first.screenshot(path=HERE / "before_after.png")


def picture_comparison(page: Page, var: Path) -> None:
    """MLflow's comparison of the two newest runs."""
    client = MlflowClient(tracking_uri(var))
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = client.search_runs([experiment], "attributes.status = 'FINISHED'", max_results=500)
    parents = [run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags][:2]
    if len(parents) < 2:
        sys.exit("two finished runs are needed: rlhf run, then rlhf run --set ppo.kl_coef=0.05")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (var / "mlflow-server.log").open("wb") as log:
        server = start_guarded(mlflow_command(var, port), dict(os.environ), log.fileno())
    try:
        while not is_up(f"{url}/health"):
            page.wait_for_timeout(500)
        chosen = f"runs={quote(json.dumps(parents))}&experiments={quote(json.dumps([experiment]))}"
        page.goto(f"{url}/#/compare-runs?{chosen}")
        page.get_by_text("Run details").wait_for()
        page.set_viewport_size({"width": 1500, "height": 1500})
        page.mouse.click(1467, 34)  # closes MLflow's assistant
        page.get_by_text("Visualizations").click()
        for switch in page.get_by_text("Show diff only").all():
            switch.click()
        page.get_by_text("Metrics", exact=True).last.scroll_into_view_if_needed()
        page.wait_for_timeout(2000)
        page.screenshot(path=HERE / "compare.png")
    finally:
        stop_guarded(server)


if __name__ == "__main__":
    main()
