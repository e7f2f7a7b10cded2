// A call to a server that is away is tried again, and none that could do something else:
// node --test example/

import assert from "node:assert";
import { createServer } from "node:http";
import { test } from "node:test";

import { Code, connect, ConnectError } from "qianmian";

/** A port of this machine on which nothing listens. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The number of fetches of a task that fails. */
async function fetches(task) {
  const original = globalThis.fetch;
  let count = 0;
  globalThis.fetch = (...given) => {
    count += 1;
    return original(...given);
  };
  try {
    await assert.rejects(task);
  } finally {
    globalThis.fetch = original;
  }
  return count;
}

test("a call to a server that is away is tried again", async () => {
  const shop = connect(`http://127.0.0.1:${await freePort()}`, { attempts: 3 });
  assert.equal(await fetches(() => shop.recommendations.popular({})), 3);
  assert.equal(await fetches(() => shop.models.rollbackModel({})), 1);
});

test("a call whose server comes back is answered", async () => {
  const port = await freePort();
  const shop = connect(`http://127.0.0.1:${port}`, { attempts: 5 });
  // It answers with a status of gRPC: unimplemented.
  const server = createServer((_, answer) => {
    answer.writeHead(200, { "content-type": "application/grpc-web+proto", "grpc-status": "12" });
    answer.end();
  });
  setTimeout(() => server.listen(port, "127.0.0.1"), 300);
  await assert.rejects(shop.recommendations.popular({}), (error) => {
    return error instanceof ConnectError && error.code === Code.Unimplemented;
  });
  server.close();
});

test("a key is not sent in plain text to another machine", () => {
  assert.throws(() => connect("http://shop.example:50051", { key: "qm_x" }), /not encrypted/);
  connect("http://127.0.0.1:50051", { key: "qm_x" });
});
