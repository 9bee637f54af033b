/**
 * Signed markers (rulings 24): the first line of everything the app writes, by which it finds its own things again.
 * `<!-- funprm:KIND v1 key=value… sig=HEX16 -->`. Without a valid signature a marker is a user's text.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export type Marker = { kind: string; fields: Record<string, string> };

/** Where the marker stands: a marker copied to another issue or repository is not valid there. */
export type MarkerPlace = { repositoryId: number; number: number };

const KIND = /^[a-z][a-z0-9-]{0,31}$/;
const KEY = /^[a-z][a-zA-Z0-9_]{0,31}$/;
const LINE = /^<!-- funprm:([a-z][a-z0-9-]{0,31}) v1((?: [a-zA-Z0-9_]{1,32}=[^ =<>]*)*) sig=([0-9a-f]{16}) -->$/;
/** A marker line is short; anything longer was not written by the app. */
const LONGEST = 2_000;

/** The marker's whole line, without a line end. Fields keep their order; values may be any text. */
export function signMarker(key: string, marker: Marker, place: MarkerPlace): string {
  if (!KIND.test(marker.kind)) throw new RangeError(`no marker kind: ${marker.kind}`);
  let text = `<!-- funprm:${marker.kind} v1`;
  for (const [name, value] of Object.entries(marker.fields)) {
    if (!KEY.test(name) || name === "sig") throw new RangeError(`no marker key: ${name}`);
    text += ` ${name}=${encodeURIComponent(value.toWellFormed())}`;
  }
  return `${text} sig=${signature(key, text, place)} -->`;
}

/** The marker that `text` starts with, when its signature is the app's for this place; else null. */
export function readMarker(key: string, text: string, place: MarkerPlace): Marker | null {
  const line = text.slice(0, LONGEST).split(/\r?\n/, 1)[0]!.trimEnd();
  const match = LINE.exec(line);
  if (!match) return null;
  const signed = line.slice(0, line.lastIndexOf(" sig="));
  const expected = Buffer.from(signature(key, signed, place));
  if (!timingSafeEqual(expected, Buffer.from(match[3]!))) return null;
  const fields: Record<string, string> = {};
  for (const pair of match[2]!.split(" ").filter(Boolean)) {
    const [name, value] = pair.split("=") as [string, string];
    fields[name] = decodeURIComponent(value);
  }
  return { kind: match[1]!, fields };
}

/** Whether a body was written by this app or another FunPRM: enough to ignore it, not enough to trust it. */
export function looksMarked(body: string): boolean {
  return body.trimStart().startsWith("<!-- funprm:");
}

function signature(key: string, text: string, place: MarkerPlace): string {
  return createHmac("sha256", key).update(`${text}\n${place.repositoryId}\n${place.number}`).digest("hex").slice(0, 16);
}
