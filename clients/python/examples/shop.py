"""Serves a page with a user's list, and follows what is added to the cart: python shop.py ADDRESS USER.

Opens no other port than 127.0.0.1:8000, and needs nothing but the package.
"""

import sys
from html import escape
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from qianmian import Client, Event, Refused


def main(address: str, user: str) -> None:
    client = Client(address)

    def title(item_id: str) -> str:
        try:
            return client.get_item(item_id).title or item_id
        except Refused:
            return item_id

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if urlsplit(self.path).path != "/":
                return self.send_error(404)
            answer = client.recommend(user, limit=8)
            rows = "".join(
                f"<li>{escape(title(item.item_id))} <button name=item value={escape(item.item_id, True)!r}>"
                "Add to cart</button></li>"
                for item in answer.items
            )
            page = f"<!doctype html><meta charset=utf-8><h1>For {escape(user)}</h1><form method=post><ol>{rows}</ol></form>"
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", 0)), 1_000)
            chosen = parse_qs(self.rfile.read(length).decode()).get("item", [])
            client.write_events(Event(user, item, kind="add_to_cart") for item in chosen)
            self.send_response(303)
            self.send_header("location", "/")
            self.end_headers()

    print("http://127.0.0.1:8000 shows the list; Ctrl-C ends it", flush=True)
    HTTPServer(("127.0.0.1", 8000), Shop).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
