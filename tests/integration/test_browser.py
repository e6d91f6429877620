"""Two runs in MLflow's own UI, and the pages of the pipeline, in a real browser."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support import store_view
from tests.support.checkout import PICTURES
from tests.support.sandbox import Project, free_port, listening

pytestmark = store_view.IN_OUR_PROCESS
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-dev-shm-usage "
    "--window-size=1500,1400"
)
CARD = "[data-testid=experiment-view-compare-runs-card]"


class Page:
    """What a person sees and does in the browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def wait(self, css: str, text: str = "", least: int = 1) -> list[WebElement]:
        """Elements that show the text, as soon as there are enough."""

        def shown(_: object) -> list[WebElement] | None:
            found = [one for one in self.all(css) if text in one.text]
            return found if len(found) >= least else None

        message = f"no {least} of {css} with {text!r}"
        ignored = [webdriver.remote.errorhandler.StaleElementReferenceException]
        return WebDriverWait(self.driver, 90, 0.3, ignored).until(shown, message)

    def click(self, css: str, text: str = "") -> None:
        self.driver.execute_script("arguments[0].click()", self.wait(css, text)[0])

    def open_menu(self, css: str, text: str = "") -> None:
        """Menus open on a real click only."""
        self.wait(css, text)[0].click()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    yield Page(driver)
    driver.quit()


@pytest.fixture
def narrow(page: Page) -> Iterator[None]:
    """A window as wide as a telephone's."""
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="module")
def project(page: Page, reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two runs, if there is a browser."""
    project = reproduced.copy(tmp_path_factory.mktemp("compared") / "project")
    project.dvc("exp", "run", "--name", "three", "-S", "latent_dim=3", MNIST_VAE_LIVE="off")
    return project


@pytest.fixture(scope="module")
def address(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `vae ui` serves in that project, on loopback."""
    port = free_port()
    log = tmp_path_factory.mktemp("ui") / "log"
    command = f"python -m mnist_vae ui --no-open --port {port}"
    with log.open("w") as output:
        process = subprocess.Popen(
            command.split(),
            cwd=project.folder,
            env=project.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            assert listening(psutil.Process(process.pid)) == {"127.0.0.1"}
            yield f"http://127.0.0.1:{port}"
        finally:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(30)
            for child in psutil.wait_procs(children, timeout=10)[1]:
                child.kill()


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    pytest.fail(log.read_text())


def select_and_compare(page: Page, address: str) -> None:
    """Open the experiment, tick both runs, press Compare."""
    page.driver.get(f"{address}/#/experiments/1/runs")
    for box in page.wait("input[aria-label^='Press Space to toggle row']", least=2):
        box.click()
    page.click("button", "Compare")
    page.wait("h1, h2", "Comparing 2 Runs from 1 Experiment")


def show_charts(page: Page, address: str, picture: str) -> None:
    """The chart view of both runs, with a picture in an image grid."""
    page.driver.get(f"{address}/#/experiments/1/runs?compareRunsMode=CHART")
    page.wait(CARD)
    for close in page.all("[data-component-id='mlflow.assistant.chat_panel.close']"):
        close.click()
    page.open_menu("[data-testid=experiment-view-compare-runs-add-chart]")
    page.open_menu("[role=menuitem]", "Image grid")
    page.open_menu("[role=dialog] button[aria-label^='Images,']")
    page.open_menu("[role=option]", picture)
    page.driver.switch_to.active_element.send_keys("\ue00c")  # Escape closes the list
    page.open_menu("[role=dialog] button[role=switch]")  # all parameters would hide the pictures
    page.click("[role=dialog] button", "Add chart")
    (search,) = page.wait("input[placeholder*='metric charts']")
    search.send_keys(f"train_elbo|{picture}")


def test_two_runs_are_compared(page: Page, project: Project, address: str) -> None:
    select_and_compare(page, address)
    (body,) = page.wait("body", "latent_dim 3 2")
    lines = body.text.splitlines()
    assert "greyscale/test_elbo" in lines
    for run in store_view.runs(project.folder).values():
        assert run.name in body.text
        ((_, elbo, _),) = run.points["greyscale/test_elbo"]
        assert f"{round(elbo, 1):g}" in lines  # as the UI rounds it, -238 for -238.0


def test_curves_and_pictures_stand_side_by_side(page: Page, address: str) -> None:
    show_charts(page, address, "reconstructions")
    curve = page.wait(CARD, "greyscale/train_elbo")[0]
    assert "latent_dim=3 · three" in curve.text
    assert "main" in curve.text
    assert len(curve.find_elements(By.CSS_SELECTOR, ".js-line")) >= 2
    grid = page.wait(CARD, "reconstructions")[0]
    images = grid.find_elements(By.CSS_SELECTOR, "img")
    assert len(images) == 2
    for image in images:
        WebDriverWait(page.driver, 30).until(
            lambda driver, image=image: driver.execute_script(
                "return arguments[0].complete && arguments[0].naturalWidth > 50", image
            )
        )


def check(page: Page, path: Path, pictures: int) -> None:
    """The page is whole: all pictures, no complaint of the browser, nothing beside the window."""
    page.driver.get_log("browser")  # of pages before
    page.driver.get(path.as_uri())
    widths = page.driver.execute_script(
        "return [...document.images].map(image => image.complete ? image.naturalWidth : 0)"
    )
    assert len(widths) == pictures
    assert min(widths) > 100
    assert page.driver.get_log("browser") == []
    across = "return document.documentElement.{}Width"
    shown, there = (page.driver.execute_script(across.format(one)) for one in ("scroll", "client"))
    assert shown == there <= 400


def test_the_report_is_whole_on_a_narrow_screen_and_shows_values(
    page: Page, project: Project, narrow: None, tmp_path: Path
) -> None:
    # The tests' cache is of links, and Chromium goes by the name of what a link leads to.
    path = shutil.copyfile(project.folder / "report/report.html", tmp_path / "report.html")
    check(page, path, len(PICTURES))
    chart = page.all(".chart")[0]
    svg = chart.find_element(By.CSS_SELECTOR, "svg")
    epoch, value = (chart.find_element(By.CSS_SELECTOR, css) for css in (".epoch", ".value"))
    last = value.text
    assert epoch.text == "at the end"
    svg.send_keys("\ue012")  # the left arrow
    first = json.loads(chart.get_attribute("data-points") or "")["lines"][0]["text"][0]
    assert (epoch.text, value.text) == ("epoch 1", first)
    assert first != last
    mouse = webdriver.ActionChains(page.driver)
    mouse.move_to_element_with_offset(svg, svg.size["width"] // 2 - 15, 0).perform()
    assert (epoch.text, value.text) == ("epoch 2", last)


def test_experiments_stand_side_by_side(page: Page, project: Project, narrow: None) -> None:
    output = project.command("report", "HEAD", "three", "--output", "comparison.html")
    path = project.folder / "comparison.html"
    assert output.strip() == str(path)
    check(page, path, 2 * len(PICTURES))
    parameters, metrics, *_ = (table.text.splitlines() for table in page.all("table"))
    assert parameters == ["parameter HEAD three", "latent_dim 2 3"]
    assert metrics[0] == "metric HEAD three"
    assert any(line.startswith("test ELBO less that of HEAD, over the same") for line in metrics)
    names = [line.text for line in page.all(".chart:first-of-type .legend span")[1:]]
    assert [name.rsplit(" ", 1)[0] for name in names] == [
        f"{name} {split}" for name in ("HEAD", "three") for split in ("validation", "train")
    ]
    assert "comparison" not in project.git("status", "--porcelain")


def test_what_is_gone_is_named(project: Project, tmp_path: Path) -> None:
    copy = project.copy(tmp_path / "copy")
    copy.dvc("config", "--local", "cache.dir", str(tmp_path / "empty"))
    told = copy.command("report", "workspace", "three").splitlines()
    assert len(told) == 2
    assert told[1].startswith("three: not in DVC's cache: ")
    assert f" and {len(PICTURES) - 1} more; `dvc fetch --all-commits` or," in told[1]
    html = (copy.folder / "comparison.html").read_text()
    (line,) = (line for line in html.splitlines() if "three: not in DVC" in line)
    for name in (*PICTURES, "results/evaluation.safetensors"):
        assert name in line
    assert html.count("<img") == len(PICTURES)
    assert html.count("three: not there") == len(PICTURES)
    for wrong, says in ((("no-such", "HEAD"), "no-such is neither"), (("HEAD",), "name two")):
        told = copy.command("report", *wrong, fails=True).splitlines()
        assert len(told) == 1
        assert says in told[0]
