// The ids of this tab's newest tries, by which a reloaded page finds their results again; nothing else is kept.

const KEY = "tries";
export const TRIES_MAX = 20; // as many as the page shows

/** The ids, newest first; none if the browser blocks storage. */
export function savedTries() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}

/** Adds the id of a try that was published. */
export function saveTry(id) {
  const ids = [id, ...savedTries()].slice(0, TRIES_MAX);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(ids));
  } catch { // blocked: a reload shows no tries
  }
}

/** Removes all ids. */
export function forgetTries() {
  try {
    sessionStorage.removeItem(KEY);
  } catch { // blocked: nothing was saved
  }
}
