/**
 * Which stored functions are similar, without storing them: a MinHash (Broder 1997) of a text's token trigrams. The share of
 * equal entries of two sketches estimates their Jaccard similarity, with a standard error of at most 0.0625.
 */
import { trigrams } from "./consensus.ts";

const HASHES = 64;

/** 64 numbers of 32 bits as base64; texts without a token have the sketch "". */
export function sketchOf(text: string): string {
  const grams = trigrams(text);
  if (grams.size === 0) return "";
  const least = new Uint32Array(HASHES).fill(0xffffffff);
  for (const gram of grams) {
    const first = hash(gram, 0x811c9dc5);
    const second = hash(gram, 0x9747b28c) | 1;
    for (let k = 0; k < HASHES; k++) {
      const value = mixed((first + Math.imul(k, second)) >>> 0);
      if (value < least[k]!) least[k] = value;
    }
  }
  return Buffer.from(least.buffer).toString("base64");
}

/** Estimated Jaccard similarity in [0,1] of the texts behind two sketches. */
export function sketchSimilarity(a: string, b: string): number {
  if (a === "" || b === "") return a === b ? 1 : 0;
  const [left, right] = [entries(a), entries(b)];
  let equal = 0;
  for (let k = 0; k < HASHES; k++) if (left[k] === right[k]) equal += 1;
  return equal / HASHES;
}

function entries(sketch: string): Uint32Array {
  const bytes = Buffer.from(sketch, "base64");
  return new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + HASHES * 4));
}

/** FNV-1a over UTF-16 units. */
function hash(text: string, seed: number): number {
  let value = seed;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return mixed(value >>> 0);
}

/** The finaliser of MurmurHash3: one bit in changes half the bits out. */
function mixed(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
