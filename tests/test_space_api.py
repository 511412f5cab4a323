"""The page as programs use it: gradio_client and an MCP client, against a server that runs."""

import asyncio
import base64
import io
import json

import app
import httpx
import numpy as np
import pytest
from conftest import small_model
from fusing import DemoFusion
from gradio.exceptions import AppError
from gradio_client import Client, handle_file
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.pair_fusion import fuse_pair
from maefuse_hf.visualization.thermal_palette import thermal_overlay

mcp = pytest.importorskip("mcp")
FILE = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def fuser():
    return DemoFusion(small_model(), MaeFuseImageProcessor(size_divisor=8))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def url(fuser, cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(cache))
        page = app.build(fuser)
        _, url, _ = app.launch(page, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
        yield url
        page.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, image in zip(("infrared", "visible"), render_example_pair(68, 84)):
        image.save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def client(url, tmp_path_factory):
    return Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def fuse(client, files, **settings):
    pair = [handle_file(str(files / name)) for name in ("infrared.png", "visible.png")]
    return client.predict(*pair, **settings, api_name="/fuse")


class TestClient:
    def test_the_image_is_what_python_gives(self, client, files, fuser):
        expected = fuse_pair(fuser.model, fuser.processor, *render_example_pair(68, 84)).image
        with Image.open(fuse(client, files)) as image:
            assert image.format == "PNG" and np.array_equal(image, expected)

    def test_settings_have_names(self, client, files, fuser):
        infrared, visible = render_example_pair(68, 84)
        plain = fuse_pair(fuser.model, fuser.processor, infrared, visible, contour="infrared").image.convert("L")
        expected = thermal_overlay(plain, np.asarray(infrared, np.float32) / 255, "ironbow")
        given = fuse(client, files, colour=False, palette="ironbow", contour="infrared")
        assert np.array_equal(Image.open(given), expected)

    def test_sixteen_bits(self, client, files, fuser, tmp_path):
        raw = Image.fromarray(np.asarray(render_example_pair(68, 84)[0]).astype(np.uint16) * 8 + 7000)
        raw.save(tmp_path / "raw.tiff")
        given = client.predict(
            handle_file(str(tmp_path / "raw.tiff")), handle_file(str(files / "visible.png")), api_name="/fuse"
        )
        expected = fuse_pair(fuser.model, fuser.processor, raw, render_example_pair(68, 84)[1]).image
        assert np.array_equal(Image.open(given), expected)

    def test_it_is_the_only_endpoint_and_its_parameters_are_typed(self, client):
        api = client.view_api(return_format="dict", print_info=False)
        assert list(api["named_endpoints"]) == ["/fuse"] and api["unnamed_endpoints"] == {}
        endpoint = api["named_endpoints"]["/fuse"]
        types = {one["parameter_name"]: one["python_type"]["type"] for one in endpoint["parameters"]}
        assert types == {
            "infrared": "filepath",
            "visible": "filepath",
            "colour": "bool",
            "palette": "Literal['none', 'ironbow', 'rainbow', 'arctic', 'red-hot']",
            "infrared_gamma": "float",
            "contour": "Literal['cfm', 'infrared', 'visible']",
            "size_limit": "float",
            "resize_infrared": "bool",
            "align": "bool",
        }
        assert "into one image that shows both" in endpoint["description"]
        assert str(app.EXAMPLES) not in json.dumps(api)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"infrared_gamma": 9}, "The infrared gamma is 9; choose 0.2 to 3.0."),
            ({"palette": "gold"}, "There is no palette 'gold'; choose none, ironbow, rainbow, arctic, red-hot."),
        ],
    )
    def test_wrong_settings(self, client, files, change, message):
        with pytest.raises(AppError) as error:
            fuse(client, files, **change)
        assert error.value.message == message

    def test_no_image(self, client, files, tmp_path):
        (tmp_path / "notes.png").write_text("hello")
        with pytest.raises(AppError) as error:
            client.predict(
                handle_file(str(tmp_path / "notes.png")), handle_file(str(files / "visible.png")), api_name="/fuse"
            )
        message = error.value.message
        assert "infrared" in message and all(kind in message for kind in ("PNG", "TIFF", "JPEG", "WebP"))

    def test_only_one_image(self, client, files):
        with pytest.raises(AppError, match="The infrared image is missing"):
            client.predict(None, handle_file(str(files / "visible.png")), api_name="/fuse")

    def test_sizes_that_differ(self, client, files, tmp_path):
        render_example_pair(68, 84)[0].resize((42, 34)).save(tmp_path / "small.png")
        pair = [handle_file(str(tmp_path / "small.png")), handle_file(str(files / "visible.png"))]
        with pytest.raises(AppError, match=r"42 × 34 pixels, the photo 84 × 68.*resize_infrared=True.*align=True"):
            client.predict(*pair, api_name="/fuse")
        assert Image.open(client.predict(*pair, resize_infrared=True, api_name="/fuse")).size == (84, 68)


class TestServer:
    def call(self, url, *images):
        data = [*images, True, "none", 1.0, "cfm", 1024, True, False]
        event = httpx.post(f"{url}gradio_api/call/fuse", json={"data": data}).json()["event_id"]
        return httpx.get(f"{url}gradio_api/call/fuse/{event}", timeout=30).text

    @pytest.mark.parametrize(
        ("position", "value", "message"),
        [
            (0, "a.png", "An image must come as an uploaded file"),
            (0, [1], "An image must come as an uploaded file"),
            (2, "yes", "The setting colour is 'yes'"),
            (3, ["none"], "There is no palette"),
            (3, "<b>gold</b>", "There is no palette '&lt;b&gt;gold"),
            (4, "much", "The infrared gamma is 'much'"),
            (6, {"a": 1}, "The size limit is"),
        ],
    )
    def test_wrong_types_are_answered_with_a_sentence(self, url, files, position, value, message):
        image = {"path": self.upload(url, files / "visible.png").json()[0], "meta": FILE}
        data = [image, image, True, "none", 1.0, "cfm", 1024, True, False]
        data[position] = value
        event = httpx.post(f"{url}gradio_api/call/fuse", json={"data": data}).json()["event_id"]
        answer = httpx.get(f"{url}gradio_api/call/fuse/{event}", timeout=30).text
        assert "event: error" in answer and message in answer and "Traceback" not in answer

    def upload(self, url, file):
        with file.open("rb") as opened:
            return httpx.post(f"{url}gradio_api/upload", files={"files": opened})

    @pytest.mark.parametrize("marked", [{"meta": FILE}, {}, {"meta": FILE, "is_stream": True}, {"url": "x"}])
    def test_no_file_of_the_server_is_opened(self, url, files, marked):
        visible = {"path": self.upload(url, files / "visible.png").json()[0], "meta": FILE}
        assert "event: complete" in self.call(url, visible, visible)
        for path in ("/etc/passwd", str(files / "infrared.png"), str(app.EXAMPLES / ".." / "app.py")):
            answer = self.call(url, {"path": path, **marked}, visible)
            assert "event: error" in answer and "Traceback" not in answer and path not in answer
            assert "no image" not in answer, "the file was opened"

    def test_no_address_within_the_network_is_fetched(self, url):
        image = {"path": f"{url}gradio_api/file={app.example_pairs()[0][1]}", "meta": FILE}
        assert "event: error" in self.call(url, image, image)

    def test_files_that_are_too_large(self, url, tmp_path):
        (tmp_path / "large.png").write_bytes(bytes(21 * 1024**2))
        assert self.upload(url, tmp_path / "large.png").status_code == 413

    def test_other_functions_cannot_be_called(self, client):
        with pytest.raises(ValueError):
            client.predict(api_name="/numbers")

    def test_what_was_uploaded_lies_in_the_cache_alone(self, url, files, cache):
        path = self.upload(url, files / "visible.png").json()[0]
        assert path.startswith(str(cache))


class TestMcp:
    def run(self, url, work):
        async def session():
            from mcp import ClientSession
            from mcp.client.streamable_http import streamable_http_client

            async with (
                streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
                ClientSession(read, write) as client,
            ):
                await client.initialize()
                return await work(client)

        return asyncio.run(session())

    def test_the_tool_is_described(self, url):
        (tool,) = self.run(url, lambda client: client.list_tools()).tools
        assert tool.name == "fuse" and tool.description.startswith("Fuse an infrared (thermal) and a visible")
        fields = tool.inputSchema["properties"]
        assert fields["palette"]["enum"] == ["none", "ironbow", "rainbow", "arctic", "red-hot"]
        assert all(field["description"] for field in fields.values())
        assert "default" not in fields["infrared"]

    def test_it_fuses(self, url, files, fuser):
        names = ("infrared", "visible")
        encoded = {name: base64.b64encode((files / f"{name}.png").read_bytes()).decode() for name in names}
        images = {name: f"data:image/png;base64,{text}" for name, text in encoded.items()}
        result = self.run(url, lambda client: client.call_tool("fuse", images))
        assert not result.isError
        image = Image.open(io.BytesIO(base64.b64decode(result.content[0].data)))
        expected = fuse_pair(fuser.model, fuser.processor, *render_example_pair(68, 84)).image
        assert np.array_equal(image, expected)

    def test_it_opens_no_file_of_the_server(self, url, files):
        paths = {"infrared": str(files / "infrared.png"), "visible": str(files / "visible.png")}
        assert self.run(url, lambda client: client.call_tool("fuse", paths)).isError
