/** Content hashes and natural ids. */
import { createHash } from "node:crypto";

/** Hex SHA-256 of text (as UTF-8) or bytes. */
export function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** The items in an order that their keys alone decide: that of the keys' hashes. */
export function inDrawnOrder<Item>(items: Iterable<Item>, keyOf: (item: Item, index: number) => string): Item[] {
  return [...items]
    .map((item, index) => ({ item, order: sha256(keyOf(item, index)) }))
    .sort((a, b) => (a.order < b.order ? -1 : 1))
    .map(({ item }) => item);
}

/** Crockford's base 32: no I, L, O, U. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/**
 * Makes ids of 26 characters whose text order is their order of making: 48 bits of time in milliseconds, then 80 random
 * bits (the form of a ULID). Within one millisecond, or when the clock steps back, the last id is counted up instead.
 * `random(n)` gives n random bytes.
 */
export function idSource(now: () => Date, random: (bytes: number) => Uint8Array): () => string {
  let lastTime = -1;
  let tail = 0n;
  return () => {
    const time = now().getTime();
    if (time > lastTime) {
      lastTime = time;
      // The highest bit stays free, so that counting up never overflows.
      tail = BigInt(`0x${Buffer.from(random(10)).toString("hex")}`) >> 1n;
    } else {
      tail += 1n;
    }
    let value = (BigInt(lastTime) << 80n) | tail;
    let id = "";
    for (let digit = 0; digit < 26; digit++) {
      id = ALPHABET[Number(value & 31n)] + id;
      value >>= 5n;
    }
    return id;
  };
}
