// Where GraphiQL keeps what it remembers.
//
// Look and layout last. Everything else, that is tabs, variables and history, may hold
// health data, passwords or tokens, so it lives only as long as the browser tab.
const LASTING = new Set(
  ['theme', 'docExplorerFlex', 'editorFlex', 'secondaryEditorFlex'].map((name) => `graphiql:${name}`),
);
const place = (key) => (LASTING.has(key) ? localStorage : sessionStorage);

export const storage = {
  getItem: (key) => place(key).getItem(key),
  setItem: (key, value) => place(key).setItem(key, value),
  removeItem: (key) => place(key).removeItem(key),
  get length() {
    return localStorage.length + sessionStorage.length;
  },
  clear() {
    for (const where of [localStorage, sessionStorage]) {
      Object.keys(where).filter((key) => key.startsWith('graphiql:')).forEach((key) => where.removeItem(key));
    }
  },
};
