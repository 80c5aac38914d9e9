// Tells Monaco where its workers are: files of our own origin, never blob: or a CDN.
// The build names them by their content and puts the names here.
const files = __WORKERS__;

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    return new Worker(new URL(files[label] ?? files.editor, import.meta.url));
  },
};
