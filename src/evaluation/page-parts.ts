/** Numbers and tables of the report page as text. */
import type { Interval } from "./statistics.ts";

export const scroll = (table: string) => `<div class="scroll">${table}</div>`;
export const figure = (title: string, content: string) =>
  `<figure><figcaption>${escaped(title)}</figcaption>${content}</figure>`;
export const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
export const signed = (value: number) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(3)}`;
export const range = (ci: readonly [number, number]) => `[${ci[0].toFixed(3)}, ${ci[1].toFixed(3)}]`;
export const interval = (one: Interval | null) =>
  one === null ? "n/a" : `${one.value.toFixed(3)} ${range(one.ci)} (${one.problems} problems)`;
export const figures = (one: { pass: number; ci: [number, number] }) => `${one.pass.toFixed(3)} ${range(one.ci)}`;

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
