// A shop's page: a list for the customer, with the titles of its items. Every click is an event, and
// the list that follows it has it in mind. The server's address can be given as ?server=URL.

import { connect, ConnectError, EventKind } from "qianmian";

const server = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:50051";
const shop = connect(server);

const user = document.querySelector<HTMLInputElement>("#user")!;
const list = document.querySelector<HTMLOListElement>("#list")!;
const said = document.querySelector<HTMLParagraphElement>("#said")!;

/** What is in the cart; it is not offered again. */
const cart: string[] = [];

async function show(): Promise<void> {
  const answer = await shop.recommendations.recommend({
    userId: user.value,
    limit: 8,
    excludeItemIds: cart,
  });
  const entries = await Promise.all(
    answer.items.map(async ({ itemId }) => {
      const { item } = await shop.catalog.getItem({ itemId });
      return entry(itemId, item?.title || itemId, item?.price, answer.recommendationId);
    }),
  );
  list.replaceChildren(...entries);
  said.textContent = `${entries.length} items for ${user.value}, model ${answer.generation}; ${cart.length} in the cart`;
}

function entry(itemId: string, title: string, price: number | undefined, recommendationId: string) {
  const made = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = title;
  const more = document.createElement("small");
  more.textContent = [itemId, price === undefined ? "" : `£${price.toFixed(2)}`].join(" ");
  const buy = document.createElement("button");
  buy.textContent = "Add to cart";
  buy.onclick = () =>
    attempt(async () => {
      const kind = EventKind.ADD_TO_CART;
      await shop.events.writeEvents({ events: [{ kind, userId: user.value, itemId, recommendationId }] });
      cart.push(itemId);
      await show();
    });
  made.append(name, more, document.createElement("br"), buy);
  return made;
}

/** Does something, and says what went wrong. */
async function attempt(task: () => Promise<void>): Promise<void> {
  try {
    await task();
  } catch (error) {
    said.textContent = ConnectError.from(error).message;
  }
}

document.querySelector<HTMLFormElement>("#who")!.onsubmit = (event) => {
  event.preventDefault();
  void attempt(show);
};
void attempt(show);
