"""The web page at /, on which a person works with their tasks."""

import html
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from todo.entrypoints.http.files import OWN, respond_with_file, respond_with_page

_FOLDER = OWN / "web"
_ASSETS = {file.name: file for file in _FOLDER.iterdir() if file.name != "index.html"}


class SignIn(NamedTuple):
    """How people get a token, which the page says or does."""

    token_url: str | None = None  # of Better Auth
    has_link: bool = False  # whether `todo serve` prints a link with a token in it


def make_handlers(sign_in: SignIn) -> list[HTTPRouteHandler]:
    origins = "'self'"
    if sign_in.token_url is not None:
        issuer = urlsplit(sign_in.token_url)
        origins += f" {issuer.scheme}://{issuer.netloc}"
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {origins};"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    )
    template = (_FOLDER / "index.html").read_text()
    template = template.replace("{token_url}", html.escape(sign_in.token_url or ""))
    template = template.replace("{has_link}", "true" if sign_in.has_link else "")

    @get("/", sync_to_thread=False)
    def index(request: Request[Any, Any, Any]) -> Response[Any]:
        # Relative where that is all that is known: a proxy may have put the service below a path.
        root = request.scope.get("root_path") or "."
        return respond_with_page(request, template.replace("{root}", html.escape(root)).encode(), policy=policy)

    @get("/web/{name:str}", sync_to_thread=False)
    def asset(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
        if name not in _ASSETS:
            raise NotFoundException
        return respond_with_file(request, _ASSETS[name])

    return [index, asset]
