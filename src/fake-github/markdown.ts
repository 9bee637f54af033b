/** Markdown as GitHub's readers see it: raw HTML only of the kinds that the app may use, comments hidden, nothing loaded. */
import { Marked } from "marked";

const ALLOWED = /^<\/?(details|summary|sub|sup|br|kbd)(\s+open)?\s*\/?>$/i;

const marked = new Marked({
  gfm: true,
  renderer: {
    html({ text }) {
      return text
        .replace(/<!--[\s\S]*?-->/g, "")
        .replace(/<[^>]*>?/g, (tag) => (ALLOWED.test(tag) ? tag : escapeHtml(tag)));
    },
    image({ text }) {
      return `<em>[image: ${escapeHtml(text)}]</em>`;
    },
    link({ href, tokens }) {
      const inner = this.parser.parseInline(tokens);
      return /^(https?:\/\/|#|\/)/.test(href)
        ? `<a href="${escapeHtml(href)}" rel="nofollow noreferrer">${inner}</a>`
        : inner;
    },
  },
});

export function renderMarkdown(text: string): string {
  return marked.parse(text, { async: false });
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
