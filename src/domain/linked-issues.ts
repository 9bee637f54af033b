/** Issues that a pull request's text says it closes, by GitHub's own keywords. */

const KEYWORD = /\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?[ \t]+#(\d{1,9})\b/gi;

/** Numbers in the order of the text, each once. Issues of other repositories are left out. */
export function linkedIssues(body: string): number[] {
  return [...new Set([...body.matchAll(KEYWORD)].map((match) => Number(match[1])))];
}
