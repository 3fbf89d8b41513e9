// What the page says of itself, or better than the server, by the code of the message. Else the server's own words,
// which are English, are shown. words/errors.de.js describes the form.
export default {
  space_mismatch: { words: "These people were registered with other models, and their numbers cannot be compared. Start the server with those models, or take the pool to its own: facepool people reembed." },
  offline: { words: "The server does not answer. Is it still running?", whole: true },
  server_busy: { words: "The server is busy. Try again in a moment.", whole: true },
  forbidden: { words: "Your key does not allow this.", whole: true, said: [[/other sites|another one|header Origin/, "A page of another address may not use this server. Open the server's own page."]] },
  rate_limited: { words: "Too many requests. Try again in a moment.", whole: true },
  picture_too_costly: { words: "This picture takes too much work. Save it anew as JPEG.", whole: true },
  picture_unsupported: { words: "Pictures of this kind are not taken. Save it as JPEG.", whole: true },
};
