/** The one address that no operator wrote down: names that lead into the machine's own network lead nowhere. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import nock from "nock";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fetchStored } from "../../src/adapters/github/fetch-stored.ts";

const API = "https://api.github.com";
let server: Server;
let asked = 0;
let port = 0;
beforeAll(async () => {
  nock.enableNetConnect(/^(127\.0\.0\.1|store\.example\.com)(:\d+)?$/);
  server = createServer((_, response) => {
    asked += 1;
    response.end("secret");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => server.close());

/** A name server that somebody else holds: what it says the first time and after. */
const names = (...answers: string[][]) => {
  let at = 0;
  const resolve = (_name: string, _options: unknown, done: (error: null, all: object[]) => void) => {
    const addresses = answers[Math.min(at, answers.length - 1)]!;
    at += 1;
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  };
  return resolve as never;
};

it.each([
  [["127.0.0.1"]],
  [["10.0.0.5"]],
  [["172.31.255.1"]],
  [["169.254.169.254"]],
  [["0.0.0.0"]],
  [["::1"]],
  [["fe80::1"]],
  [["fd12::1"]],
  [["::ffff:127.0.0.1"]],
  [["64:ff9b::7f00:1"]],
  [["2002:7f00:1::"]],
  // One good address beside it changes nothing: which of them is taken is not ours to say.
  [["8.8.8.8", "192.168.1.1"]],
])("a name at %j is refused before anything is sent", async (addresses) => {
  const got = fetchStored(`https://store.example.com:${port}/x.zip`, {
    api: API,
    what: "a",
    resolve: names(addresses),
  });
  await expect(got).rejects.toMatchObject({
    code: "GITHUB_REFUSED",
    message: expect.stringMatching(/no public address/),
  });
  expect(asked).toBe(0);
});

it.each([
  `https://127.0.0.1:1/x`,
  `https://[::1]:1/x`,
  `https://2130706433:1/x`,
  `https://0x7f.1:1/x`,
  `https://0:1/x`,
])("%s is loopback in whatever spelling", async (location) => {
  const got = fetchStored(location, { api: API, what: "a" });
  await expect(got).rejects.toMatchObject({ code: "GITHUB_REFUSED", message: expect.stringMatching(/no public/) });
});

it("http on loopback is for an API that is there itself", async () => {
  const location = `http://127.0.0.1:${port}/x.zip`;
  await expect(fetchStored(location, { api: API, what: "a" })).rejects.toMatchObject({ code: "GITHUB_REFUSED" });
  expect(asked).toBe(0);
  const bytes = await fetchStored(location, { api: "http://127.0.0.1:1/api/v3", what: "a" });
  expect(Buffer.from(bytes!).toString()).toBe("secret");
});
