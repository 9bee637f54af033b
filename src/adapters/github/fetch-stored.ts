/**
 * A file from the one address that no operator wrote down: GitHub's API named it, for this minute (ADR 15). Without the token,
 * without a further redirect, never from an address of the machine's own network, cut when it is larger than allowed.
 */
import { type LookupOptions, lookup } from "node:dns";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { FunprmError } from "../../domain/errors.ts";

export const MOST_ZIP_BYTES = 32 * 1024 * 1024;
const TIMEOUT_MS = 60_000;

/** IPv4 that is not the public internet (RFC 6890), and the IPv6 that is, less what holds IPv4 or documentation. */
const PRIVATE_V4 = blockList("ipv4", [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"],
  ...["192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
  ...["224.0.0.0/4", "240.0.0.0/4"],
]);
const GLOBAL_V6 = blockList("ipv6", ["2000::/3"]);
const PRIVATE_V6 = blockList("ipv6", ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]);

/**
 * Null when it is gone (404, 410).
 * @param options.api address of the API: the same origin is as trusted as the API is; and where the API itself is on loopback (the
 * fake GitHub) so may the storage be. @param options.resolve stands in for the system's look-up of names.
 */
export async function fetchStored(
  location: string,
  options: { api: string; what: string; resolve?: typeof lookup },
): Promise<Uint8Array | null> {
  const { api, what } = options;
  const refuse = (why: string) => new FunprmError("GITHUB_REFUSED", `${what}: ${why}`);
  const url = URL.parse(location, api);
  if (url === null) throw refuse("GitHub names an address that is none");
  const trusted = url.origin === new URL(api).origin || (isLoopback(new URL(api)) && isLoopback(url));
  if (url.username !== "" || url.password !== "") throw refuse("its address holds a password");
  if (!trusted && url.protocol !== "https:") throw refuse(`its address is ${url.protocol}, not https`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (!trusted && isIP(host) !== 0 && !isPublic(host)) throw refuse(`it lies at ${host}, which is no public address`);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    return await new Promise<Uint8Array | null>((done, failed) => {
      const request = url.protocol === "https:" ? requestHttps : requestHttp;
      const asked = request(url, {
        signal,
        agent: false,
        headers: { accept: "*/*", "user-agent": "funprm" },
        ...(trusted ? {} : { lookup: publicOnly(options.resolve ?? lookup, refuse) }),
      });
      asked.on("error", failed);
      asked.on("response", (answer) => {
        const status = answer.statusCode ?? 0;
        const end = (error: Error | null) => {
          answer.destroy();
          if (error === null) done(null);
          else failed(error);
        };
        if (status === 404 || status === 410) return end(null);
        if (status >= 300 && status < 400) return end(refuse("its storage sends elsewhere once more"));
        // The address holds for a minute: one that is over is asked for again.
        if (status === 403 || status === 429 || status >= 500) return end(new Error(`its storage answered ${status}`));
        if (status !== 200) return end(refuse(`its storage answered ${status}`));
        const chunks: Buffer[] = [];
        let size = Number(answer.headers["content-length"] ?? 0);
        if (size > MOST_ZIP_BYTES) return end(refuse(`${size} bytes, over ${MOST_ZIP_BYTES}`));
        size = 0;
        answer.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > MOST_ZIP_BYTES) end(refuse(`over ${MOST_ZIP_BYTES} bytes`));
          else chunks.push(chunk);
        });
        answer.on("error", failed);
        answer.on("end", () =>
          answer.complete ? done(Buffer.concat(chunks)) : failed(new Error("its storage broke off")),
        );
      });
      asked.end();
    });
  } catch (error) {
    if (error instanceof FunprmError) throw error;
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new FunprmError("GITHUB_TRANSIENT", `${what}: ${why}`, { cause: error });
  }
}

/** The address that is checked is the address that is connected to: no second look-up comes between. */
function publicOnly(resolve: typeof lookup, refuse: (why: string) => FunprmError): LookupFunction {
  return (hostname, options, callback) => {
    const all: LookupOptions & { all: true } = { ...options, all: true };
    resolve(hostname, all, (error, addresses) => {
      if (error) return callback(error, "");
      const hidden = addresses.find(({ address }) => !isPublic(address));
      if (hidden) return callback(refuse(`${hostname} is at ${hidden.address}, which is no public address`), "");
      if (options.all) return callback(null, addresses);
      const [first] = addresses;
      callback(null, first!.address, first!.family);
    });
  };
}

function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !PRIVATE_V4.check(address, "ipv4");
  return GLOBAL_V6.check(address, "ipv6") && !PRIVATE_V6.check(address, "ipv6");
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === "127.0.0.1" || hostname === "localhost" || hostname === "[::1]";
}

function blockList(family: "ipv4" | "ipv6", subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [net, prefix] = subnet.split("/");
    list.addSubnet(net!, Number(prefix), family);
  }
  return list;
}
