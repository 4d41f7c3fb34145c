"""What is no HTTP at all, and so never reaches the application, is answered with a problem document too."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from todo.entrypoints.http import problems


class Protocol(HttpToolsProtocol):
    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says it for a person
        _, body, _ = problems.render(problems.InvalidRequest("This is not a valid HTTP/1.1 request."))
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
