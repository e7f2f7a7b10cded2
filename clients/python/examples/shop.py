"""Serves a page with a user's list, which follows what is added to the cart: python shop.py ADDRESS USER.

What is in the cart is reported as an event, and not offered again. The page is at 127.0.0.1:8000.
"""

import sys
from html import escape
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from qianmian import Client, Event, Refused


def main(address: str, user: str) -> None:
    client = Client(address)
    cart: list[str] = []

    def title(item_id: str) -> str:
        try:
            return client.get_item(item_id).title or item_id
        except Refused:
            return item_id

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if urlsplit(self.path).path != "/":
                return self.send_error(404)
            answer = client.recommend(user, limit=8, session=cart[-100:], exclude=cart)
            rows = "".join(
                f"<li>{escape(title(item.item_id))} "
                f'<button name="item" value="{escape(item.item_id)}">Add to cart</button></li>'
                for item in answer.items
            )
            shown = f'<input type="hidden" name="shown" value="{escape(answer.recommendation_id)}">'
            inside = ", ".join(escape(title(item)) for item in cart) or "empty"
            page = (
                f"<!doctype html><meta charset=utf-8><h1>For {escape(user)}</h1><p>Cart: {inside}</p>"
                f"<form method=post>{shown}<ol>{rows}</ol></form>"
            )
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", 0)), 1_000)
            sent = parse_qs(self.rfile.read(length).decode())
            chosen, shown = sent.get("item", []), sent.get("shown", [""])[0]
            client.write_events(
                Event(user, item, kind="add_to_cart", recommendation_id=shown) for item in chosen
            )
            cart.extend(chosen)
            self.send_response(303)
            self.send_header("location", "/")
            self.end_headers()

    print("http://127.0.0.1:8000 shows the list; Ctrl-C ends it", flush=True)
    HTTPServer(("127.0.0.1", 8000), Shop).serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python shop.py ADDRESS USER")
    main(sys.argv[1], sys.argv[2])
