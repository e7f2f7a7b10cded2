// A page to try calls: it reads the description of the methods, and sends what is written in the
// field as it is. The key stays in the page.
"use strict";

const of = (id) => document.getElementById(id);
const REFERENCE = "#/components/schemas/";

let description;
let path;

/** The schema that a schema refers to, or itself. */
function resolved(schema) {
  const target = schema.$ref;
  return target ? description.components.schemas[target.slice(REFERENCE.length)] : schema;
}

/** Requests of the methods that a newcomer tries first; those of others are empty. */
const SAMPLES = {
  "RecommendationService/Recommend": { userId: "12583", limit: 5 },
  "RecommendationService/SimilarItems": { itemId: "22423", limit: 5 },
  "RecommendationService/SimilarUsers": { userId: "12583", limit: 5 },
  "RecommendationService/BoughtTogether": { itemIds: ["22423"], limit: 5 },
  "RecommendationService/Popular": { limit: 5 },
  "RecommendationService/Rank": { userId: "12583", itemIds: ["22423", "85123A"] },
  "EventService/WriteEvents": {
    events: [{ kind: "EVENT_KIND_PURCHASE", userId: "anna", itemId: "22423" }],
  },
  "CatalogService/UpsertItems": {
    items: [{ itemId: "new-mug", title: "A new mug", categories: ["kitchen/mugs"], price: 4.5 }],
  },
  "CatalogService/GetItem": { itemId: "22423" },
  "CatalogService/ListItems": { pageSize: 5 },
  "UserService/UpsertUsers": { users: [{ userId: "anna", attributes: { country: "SE" } }] },
  "UserService/GetUser": { userId: "12583" },
  "UserService/ListUsers": { pageSize: 5 },
};
/** The services in the order in which they are met. */
const SERVICES = ["Recommendation", "Event", "Catalog", "User", "Model", "Store", "Key"];

function kindOf(schema) {
  if (schema.$ref) return schema.$ref.slice(REFERENCE.length);
  if (schema.type === "array") return `list of ${kindOf(schema.items)}`;
  if (schema.additionalProperties) return `map of ${kindOf(schema.additionalProperties)}`;
  return schema.format ?? schema.type;
}

function element(name, text, attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  made.textContent = text;
  return made;
}

/** Shows a method. */
function show(chosen) {
  path = chosen;
  const { post } = description.paths[path];
  const request = resolved(post.requestBody.content["application/json"].schema);
  of("name").textContent = path;
  of("description").textContent = post.description;
  of("request").value = JSON.stringify(SAMPLES[path.slice("/v1/".length)] ?? {}, null, 2);
  of("answer").textContent = of("outcome").textContent = "";
  for (const button of document.querySelectorAll("nav button")) {
    button.ariaCurrent = button.value === path ? "true" : null;
  }

  const fields = Object.entries(request.properties ?? {}).flatMap(([name, schema]) => [
    element("dt", `${name}: ${kindOf(schema)}`),
    element("dd", [schema.description, resolved(schema).enum?.join(", ")].filter(Boolean).join(" ")),
  ]);
  of("fields").replaceChildren(...fields);
  showCurl();
  return true;
}

/** The headers of a call; `key` stands for the key where the call is shown. */
function headers(key) {
  const all = { "content-type": "application/json" };
  if (of("key").value) all.authorization = `Bearer ${key}`;
  if (of("store").value) all.store = of("store").value;
  return all;
}

function showCurl() {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const lines = Object.entries(headers("$QIANMIAN_KEY")).map(([name, value]) => {
    // The shell puts in the key.
    return name === "authorization" ? `-H "${name}: ${value}"` : `-H ${quoted(`${name}: ${value}`)}`;
  });
  let body = of("request").value;
  try {
    body = JSON.stringify(JSON.parse(body));
  } catch {
    // As it is written.
  }
  of("curl").textContent = [`curl ${location.origin}${path}`, ...lines, `-d ${quoted(body)}`].join(" \\\n  ");
}

/** Sends the call and shows its answer. */
async function send() {
  const began = performance.now();
  of("outcome").textContent = "…";
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: headers(of("key").value.trim()),
      body: of("request").value,
    });
    const text = await answer.text();
    of("outcome").textContent =
      `${answer.status} after ${(performance.now() - began).toFixed(1)} ms`;
    try {
      of("answer").textContent = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      of("answer").textContent = text;
    }
  } catch (error) {
    of("outcome").textContent = `no answer: ${error.message}`;
  }
}

async function start() {
  description = await (await fetch("/v1/openapi.json")).json();
  const place = ({ name }) => SERVICES.findIndex((known) => name === `${known}Service`);
  for (const tag of description.tags.toSorted((a, b) => place(a) - place(b))) {
    const paths = Object.keys(description.paths).filter((path) => path.startsWith(`/v1/${tag.name}/`));
    if (paths.length === 0) continue;
    of("methods").append(element("h3", tag.name, { title: tag.description }));
    for (const path of paths) {
      const name = path.split("/").at(-1);
      of("methods").append(element("button", name, { value: path, onclick: () => (location.hash = path) }));
    }
  }
  of("send").onclick = send;
  for (const id of ["request", "key", "store"]) of(id).addEventListener("input", showCurl);
  // A method has its address: /#/v1/…; the reasons of refusals are anchors too.
  const named = () => description.paths[location.hash.slice(1)] && show(location.hash.slice(1));
  window.onhashchange = named;
  if (!named()) show("/v1/RecommendationService/Recommend");
}

start();
