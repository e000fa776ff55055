// A meeting in a browser. The protocol is docs/rooms.md: one WebSocket, one connection to send by, one to receive by.
"use strict";

const $ = (id) => document.getElementById(id);
const ENCODINGS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", maxBitrate: 1_700_000 },
];
const RETRY_MS = [250, 500, 1000, 2000, 4000];

/** Everything that is true while one is in a meeting. */
const meeting = {
  socket: null, self: null, resume: null, left: false, tries: 0, iceServers: [],
  people: new Map(), // number -> participant, as the server tells
  layers: new Map(), // track -> { paused, spatial, temporal }
  speakers: [],
  publisher: null, // RTCPeerConnection
  own: new Map(), // kind -> { track (MediaStreamTrack), sender, number }
  fresh: [], // kinds whose numbers the next `published` brings
  busy: false, again: false,
  subscriber: null, connection: null,
  streams: new Map(), // track number -> MediaStreamTrack
  tiles: new Map(), // key -> element
  wanted: new Map(), // track number -> "WxH" as it was said last
};

// --- words with the server ---------------------------------------------------------------------------------------

const say = (message) => {
  if (meeting.socket?.readyState === WebSocket.OPEN) meeting.socket.send(JSON.stringify(message));
};

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/meet/socket`);
  meeting.socket = socket;
  socket.onopen = () => {
    const join = { type: "join", room: $("room").value, token: $("token").value, name: $("name").value };
    if (meeting.resume) join.resume = meeting.resume;
    say(join);
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    (HANDLERS[message.type] ?? (() => {}))(message);
  };
  socket.onclose = () => {
    if (meeting.left || meeting.socket !== socket) return;
    if (!meeting.self) return backToLobby($("lobby-message").textContent || "The server cannot be reached.");
    status("Connection lost, trying again …");
    const wait = RETRY_MS[Math.min(meeting.tries++, RETRY_MS.length - 1)];
    setTimeout(connect, wait);
  };
}

const HANDLERS = {
  joined(message) {
    const again = meeting.self === message.participant;
    Object.assign(meeting, { self: message.participant, resume: message.resume, tries: 0, iceServers: message.ice_servers });
    meeting.people = new Map(message.participants.map((person) => [person.id, person]));
    meeting.wanted.clear();
    $("lobby").hidden = true;
    $("meeting").hidden = false;
    $("title").textContent = message.room;
    document.title = `${message.room} – meeting`;
    for (const id of ["mic", "camera", "screen"]) $(id).disabled = !message.may_publish;
    if (!again) {
      forgetConnections();
      if (message.may_publish) publish();
    }
    show();
  },
  participant_joined(message) {
    meeting.people.set(message.participant.id, message.participant);
    show();
  },
  participant_left(message) {
    meeting.people.delete(message.participant);
    show();
  },
  track_published(message) {
    const person = meeting.people.get(message.participant);
    person?.tracks.push(message.track);
    show();
  },
  track_unpublished(message) {
    const person = meeting.people.get(message.participant);
    if (person) person.tracks = person.tracks.filter((track) => track.id !== message.track);
    meeting.streams.delete(message.track);
    show();
  },
  track_muted(message) {
    const person = meeting.people.get(message.participant);
    if (person) person.tracks = person.tracks.map((track) => (track.id === message.track.id ? message.track : track));
    if (message.participant === meeting.self) {
      const own = [...meeting.own.values()].find((one) => one.number === message.track.id);
      if (own) own.track.enabled = !message.track.is_muted;
    }
    show();
  },
  async published(message) {
    meeting.fresh.forEach((kind, at) => {
      const own = meeting.own.get(kind);
      if (own) own.number = message.tracks[at];
    });
    meeting.fresh = [];
    const person = meeting.people.get(meeting.self);
    await meeting.publisher.setRemoteDescription({ type: "answer", sdp: message.sdp });
    if (person) {
      person.tracks = [...meeting.own].filter(([, own]) => own.number !== undefined)
        .map(([kind, own]) => ({ id: own.number, kind, is_muted: !own.track.enabled }));
    }
    meeting.busy = false;
    if (meeting.again) publish();
    show();
  },
  async offer(message) {
    if (meeting.connection !== message.connection) {
      meeting.subscriber?.close();
      meeting.subscriber = newConnection("subscribe");
      meeting.connection = message.connection;
      meeting.streams.clear();
      meeting.wanted.clear();
    }
    const connection = meeting.subscriber;
    await connection.setRemoteDescription({ type: "offer", sdp: message.sdp });
    const tracks = new Map(message.tracks.map((placed) => [placed.mid, placed.track]));
    meeting.streams.clear();
    for (const transceiver of connection.getTransceivers()) {
      const number = tracks.get(transceiver.mid);
      if (number !== undefined) meeting.streams.set(number, transceiver.receiver.track);
    }
    await connection.setLocalDescription();
    say({ type: "answer", sdp: connection.localDescription.sdp });
    show();
  },
  speakers(message) {
    meeting.speakers = message.participants;
    markSpeakers();
  },
  layer(message) {
    meeting.layers.set(message.track, message);
  },
  error(message) {
    if (!meeting.self) $("lobby-message").textContent = message.reason;
    else if (message.code === "connection_lost") lostConnection();
    else status(message.reason);
  },
  bye(message) {
    meeting.left = true;
    backToLobby({ left: "", removed: "A moderator has put you out.", room_ended: "The meeting has ended.",
      replaced: "You are in this meeting by another window." }[message.why] ?? "You were away for too long.");
  },
};

// --- media -------------------------------------------------------------------------------------------------------

function newConnection(of) {
  const connection = new RTCPeerConnection({ iceServers: meeting.iceServers, bundlePolicy: "max-bundle" });
  connection.onicecandidate = ({ candidate }) => {
    if (candidate?.candidate) say({ type: "candidate", of, candidate: candidate.candidate, mid: candidate.sdpMid });
  };
  connection.onconnectionstatechange = () => {
    if (of === "publish" && connection.connectionState === "failed") publish(true);
    showConnection();
  };
  return connection;
}

/** Offers all that one sends; one offer at a time. */
async function publish(restart = false) {
  if (meeting.busy) {
    meeting.again = true;
    return;
  }
  if (meeting.own.size === 0 && !meeting.publisher) return;
  meeting.busy = true;
  meeting.again = false;
  meeting.publisher ??= newConnection("publish");
  const connection = meeting.publisher;
  for (const [kind, own] of meeting.own) {
    if (own.sender) continue;
    const options = { direction: "sendonly", streams: [new MediaStream([own.track])] };
    if (kind === "camera") options.sendEncodings = ENCODINGS;
    own.transceiver = connection.addTransceiver(own.track, options);
    own.sender = own.transceiver.sender;
    meeting.fresh.push(kind);
  }
  const offer = await connection.createOffer({ iceRestart: restart });
  await connection.setLocalDescription(offer);
  const tracks = meeting.fresh.map((kind) => ({ mid: meeting.own.get(kind).transceiver.mid, kind }));
  // The server numbers tracks in the order of their media sections.
  const order = (one) => connection.getTransceivers().findIndex((transceiver) => transceiver.mid === one.mid);
  tracks.sort((a, b) => order(a) - order(b));
  meeting.fresh = tracks.map((one) => one.kind);
  say({ type: "publish", sdp: connection.localDescription.sdp, tracks });
}

function lostConnection() {
  status("Media connection lost, making a new one …");
  meeting.publisher?.close();
  meeting.publisher = null;
  meeting.busy = false;
  for (const own of meeting.own.values()) own.sender = own.transceiver = own.number = undefined;
  publish();
}

function forgetConnections() {
  meeting.publisher?.close();
  meeting.subscriber?.close();
  Object.assign(meeting, { publisher: null, subscriber: null, connection: null, busy: false, again: false, fresh: [] });
  meeting.streams.clear();
  for (const own of meeting.own.values()) own.sender = own.transceiver = own.number = undefined;
}

async function capture(kind) {
  const media = navigator.mediaDevices;
  if (!media) throw new Error("This page needs https (or localhost) to use a camera.");
  if (kind === "screen") return (await media.getDisplayMedia({ video: true })).getVideoTracks()[0];
  const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  const stream = await media.getUserMedia(kind === "camera" ? { video } : { audio: true });
  return stream.getTracks()[0];
}

async function begin(kind) {
  const track = await capture(kind);
  meeting.own.set(kind, { track });
  track.onended = () => stop(kind);
}

function stop(kind) {
  const own = meeting.own.get(kind);
  if (!own) return;
  own.track.stop();
  if (own.transceiver) own.transceiver.direction = "inactive";
  meeting.own.delete(kind);
  if (own.number !== undefined) {
    say({ type: "unpublish", track: own.number });
    const person = meeting.people.get(meeting.self);
    if (person) person.tracks = person.tracks.filter((track) => track.id !== own.number);
  }
  show();
}

function toggleMute(kind) {
  const own = meeting.own.get(kind);
  if (!own) return begin(kind).then(() => publish()).then(show).catch((error) => status(error.message));
  own.track.enabled = !own.track.enabled;
  if (own.number !== undefined) say({ type: "mute", track: own.number, muted: !own.track.enabled });
  show();
}

// --- what is seen ------------------------------------------------------------------------------------------------

const status = (text) => { $("status").textContent = text; };
const nameOf = (person) => person.name ?? person.identity;

function backToLobby(reason) {
  forgetConnections();
  for (const kind of [...meeting.own.keys()]) meeting.own.get(kind).track.stop();
  meeting.own.clear();
  meeting.socket?.close();
  Object.assign(meeting, { self: null, resume: null });
  meeting.people.clear();
  $("tiles").replaceChildren();
  meeting.tiles.clear();
  $("meeting").hidden = true;
  $("lobby").hidden = false;
  $("lobby-message").textContent = reason;
  $("join").querySelector("button").disabled = false;
}

function showConnection() {
  const states = [meeting.publisher, meeting.subscriber].filter(Boolean).map((one) => one.connectionState);
  const count = meeting.people.size;
  const people = count === 1 ? "Nobody else is here" : `${count} people`;
  if (states.includes("failed")) status("Media does not get through");
  else if (states.includes("connecting") || states.includes("new")) status(`${people} · connecting …`);
  else status(people);
}

/** One tile for each person, and one for each screen. */
function show() {
  const keys = new Set();
  for (const person of meeting.people.values()) {
    const of = (kind) => person.tracks.find((track) => track.kind === kind);
    drawTile(`p${person.id}`, person, of("camera"), of("microphone"), false, keys);
    if (of("screen")) drawTile(`s${person.id}`, person, of("screen"), of("screen_audio"), true, keys);
  }
  for (const [key, tile] of meeting.tiles) {
    if (keys.has(key)) continue;
    sizes.unobserve(tile);
    tile.remove();
    meeting.tiles.delete(key);
  }
  for (const [kind, words] of Object.entries({ microphone: ["mic", "Mute", "Unmute"], camera: ["camera", "Camera off", "Camera on"] })) {
    const [id, off, on] = words;
    const sends = meeting.own.get(kind)?.track.enabled ?? false;
    $(id).textContent = sends ? off : on;
    $(id).setAttribute("aria-pressed", String(!sends));
  }
  const shares = meeting.own.has("screen");
  $("screen").textContent = shares ? "Stop sharing" : "Share screen";
  $("screen").setAttribute("aria-pressed", String(shares));
  showConnection();
  markSpeakers();
  sayWanted();
}

function drawTile(key, person, video, audio, isScreen, keys) {
  keys.add(key);
  let tile = meeting.tiles.get(key);
  if (!tile) {
    tile = $("tile").content.firstElementChild.cloneNode(true);
    meeting.tiles.set(key, tile);
    $("tiles").append(tile);
    sizes.observe(tile);
  }
  const isSelf = person.id === meeting.self;
  const ownTrack = (track) => track && [...meeting.own.values()].find((own) => own.number === track.id)?.track;
  const live = (track) => (isSelf ? ownTrack(track) : meeting.streams.get(track?.id));
  const element = tile.querySelector("video");
  const tracks = [live(video), isSelf ? undefined : live(audio)].filter(Boolean);
  const shown = element.srcObject?.getTracks() ?? [];
  if (tracks.length !== shown.length || tracks.some((track) => !shown.includes(track))) {
    element.srcObject = tracks.length ? new MediaStream(tracks) : null;
  }
  element.muted = isSelf;
  tile.dataset.track = video?.id ?? "";
  tile.dataset.person = person.id;
  tile.classList.toggle("own", isSelf);
  tile.classList.toggle("screen", isScreen);
  tile.classList.toggle("blank", !live(video) || video.is_muted);
  tile.classList.toggle("muted", !isScreen && (!audio || audio.is_muted));
  const name = `${nameOf(person)}${isSelf ? " (you)" : ""}${isScreen ? " – screen" : ""}`;
  tile.querySelector(".name").textContent = name;
  tile.querySelector(".initial").textContent = nameOf(person).trim().charAt(0).toUpperCase();
  tile.setAttribute("aria-label", name);
}

function markSpeakers() {
  for (const tile of meeting.tiles.values()) {
    const speaks = meeting.speakers.includes(Number(tile.dataset.person)) && !tile.classList.contains("screen");
    tile.classList.toggle("speaking", speaks);
  }
}

/** Tells how large each track is shown, when that has changed. */
function sayWanted() {
  const quality = $("quality").value;
  for (const tile of meeting.tiles.values()) {
    const track = Number(tile.dataset.track);
    if (!track || tile.classList.contains("own") || !meeting.streams.has(track)) continue;
    const scale = window.devicePixelRatio || 1;
    let [width, height] = [Math.round(tile.clientWidth * scale), Math.round(tile.clientHeight * scale)];
    if (document.hidden || quality === "0") [width, height] = [0, 0];
    else if (quality !== "auto") [width, height] = [Math.round((Number(quality) * 16) / 9), Number(quality)];
    const size = `${width}x${height}`;
    if (meeting.wanted.get(track) === size) continue;
    meeting.wanted.set(track, size);
    const priority = tile.classList.contains("screen") ? 2 : tile.classList.contains("speaking") ? 1 : 0;
    say({ type: "want", track, width, height, priority });
  }
}

const sizes = new ResizeObserver(() => sayWanted());
document.addEventListener("visibilitychange", sayWanted);

// --- statistics --------------------------------------------------------------------------------------------------

const before = new Map();

async function measure() {
  const isShown = $("statistics").getAttribute("aria-pressed") === "true";
  for (const tile of meeting.tiles.values()) tile.querySelector(".statistics").hidden = !isShown;
  if (!isShown) return;
  const reports = [];
  for (const connection of [meeting.publisher, meeting.subscriber]) {
    if (connection) reports.push(...(await connection.getStats()).values());
  }
  const pair = reports.find((report) => report.type === "candidate-pair" && report.nominated);
  for (const tile of meeting.tiles.values()) {
    const stream = tile.querySelector("video").srcObject?.getVideoTracks()[0];
    const sent = tile.classList.contains("own");
    const mine = (report) => (sent ? report.type === "outbound-rtp" && report.kind === "video"
      : report.type === "inbound-rtp" && report.trackIdentifier === stream?.id);
    const parts = reports.filter(mine);
    const bytes = parts.reduce((sum, part) => sum + (part.bytesSent ?? part.bytesReceived ?? 0), 0);
    const key = `${tile.dataset.person}/${tile.dataset.track}`;
    const [lastBytes, lastAt] = before.get(key) ?? [bytes, performance.now() - 1000];
    before.set(key, [bytes, performance.now()]);
    const kbps = Math.max(0, ((bytes - lastBytes) * 8) / (performance.now() - lastAt));
    const lost = parts.reduce((sum, part) => sum + (part.packetsLost ?? 0), 0);
    const got = parts.reduce((sum, part) => sum + (part.packetsReceived ?? 0), 0);
    const best = parts.reduce((a, b) => ((b.frameHeight ?? 0) >= (a?.frameHeight ?? 0) ? b : a), null);
    const layer = meeting.layers.get(Number(tile.dataset.track));
    const lines = [
      `${sent ? "sends" : "gets"} ${kbps.toFixed(0)} kbit/s`,
      best?.frameWidth ? `${best.frameWidth} x ${best.frameHeight}, ${Math.round(best.framesPerSecond ?? 0)} fps` : "no video",
      sent ? null : `lost ${got + lost ? ((100 * lost) / (got + lost)).toFixed(1) : "0.0"} %`,
      sent || !layer ? null : layer.paused ? "paused" : `layer ${layer.spatial}.${layer.temporal}`,
      pair ? `round trip ${Math.round((pair.currentRoundTripTime ?? 0) * 1000)} ms` : null,
    ];
    tile.querySelector(".statistics").textContent = lines.filter(Boolean).join("\n");
  }
}
setInterval(measure, 1000);

// --- controls ----------------------------------------------------------------------------------------------------

$("room").value = decodeURIComponent(location.pathname.split("/")[2] ?? "");
// Behind the #, so that it is in no server's log; and not left where others read it.
const given = new URLSearchParams(location.hash.slice(1));
$("token").value = given.get("token") ?? "";
$("name").value = given.get("name") ?? "";
if (location.hash) history.replaceState(null, "", location.pathname);

$("join").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("lobby-message").textContent = "";
  $("join").querySelector("button").disabled = true;
  meeting.left = false;
  meeting.tries = 0;
  const missing = [];
  for (const [kind, box] of [["microphone", "with-mic"], ["camera", "with-camera"]]) {
    if ($(box).checked) await begin(kind).catch((error) => missing.push(`no ${kind}: ${error.message}`));
  }
  connect();
  if (missing.length) setTimeout(() => status(missing.join("; ")), 500);
});
$("mic").addEventListener("click", () => toggleMute("microphone"));
$("camera").addEventListener("click", () => toggleMute("camera"));
$("screen").addEventListener("click", () => {
  if (meeting.own.has("screen")) return stop("screen");
  begin("screen").then(() => publish()).then(show).catch((error) => status(error.message));
});
$("quality").addEventListener("change", sayWanted);
$("statistics").addEventListener("click", () => {
  const pressed = $("statistics").getAttribute("aria-pressed") !== "true";
  $("statistics").setAttribute("aria-pressed", String(pressed));
  measure();
});
if (given.has("join")) $("join").requestSubmit();
$("leave").addEventListener("click", () => {
  meeting.left = true;
  say({ type: "leave" });
  backToLobby("");
});
