// Many scripted visitors in one page of the signal-server's own origin: each a WebSocket and a peer connection, as the panel has
// them, and nothing of our phone. What they did stands in `crowd`.
const context = new AudioContext()
const tone = context.createOscillator(), out = context.createMediaStreamDestination()
tone.connect(out)
tone.start()

/** How many come at the same time: what makes an offer and checks pairs is the browser's, which has two cores for all of them. */
const DOORS = 4

class Visitor {
  events = []
  said = ''

  async greet(more) {
    const panel = await fetch('/panel?merchant=acme&link=sales', { referrerPolicy: 'no-referrer' })
    if (!panel.ok) throw new Error(`the panel: ${panel.status}`)
    const token = (await panel.text()).match(/data-token="([^"]+)"/)[1]
    const socket = this.socket = new WebSocket(`ws://${location.host}/ws/visitor`)
    socket.onmessage = ({ data }) => this.heard(JSON.parse(data))
    socket.onclose = () => { if (this.socket === socket) this.isOpen = false }
    await new Promise((opened, failed) => { socket.onopen = opened; socket.onerror = failed })
    this.isOpen = true
    this.say({ type: 'hello', version: 1, token, origin, ...more })
  }

  async hello() {
    await this.greet()
    const audio = new RTCPeerConnection()
    for (const track of out.stream.getTracks()) audio.addTrack(track, out.stream)
    await audio.setLocalDescription()
    await new Promise((gathered) => {
      audio.onicegatheringstatechange = () => audio.iceGatheringState === 'complete' && gathered()
      audio.onicecandidate = ({ candidate }) => candidate || gathered()
    })
    this.say({ type: 'offer', sdp: audio.localDescription.sdp, quality: 'saver' })
    this.say({ type: 'ready' })
    this.next = audio
  }

  /** The same page over another socket; or from the beginning, if it had not come to a session. */
  async reconnect() {
    if (!this.session) return this.hello()
    await this.greet({ session: this.session, seen: 0 })
    if (!this.audio && this.next) this.say({ type: 'offer', sdp: this.next.localDescription.sdp, quality: 'saver' })
    if (!this.state || this.state === 'connecting') this.say({ type: 'ready' })
  }

  say(message) {
    this.socket.send(JSON.stringify(message))
  }

  async heard(event) {
    this.events.push(event.type)
    if (event.type === 'state') this.state = event.state
    if (event.type === 'session') this.session = event.token
    if (event.type === 'resume') this.token = event.token
    if (event.type === 'reconnected') this.reconnected = performance.now()
    if (event.type === 'ended') this.ended = event.reason
    if (event.type === 'answer') {
      this.audio?.close()
      this.audio = this.next
      await this.audio.setRemoteDescription({ type: 'answer', sdp: event.sdp })
    }
  }

  /** What has come so far: packets, and what they sound like where somebody listens. */
  async received() {
    let packets = 0, energy = 0
    for (const report of (await this.audio.getStats()).values()) {
      if (report.type !== 'inbound-rtp') continue
      packets += report.packetsReceived
      energy += report.totalAudioEnergy ?? 0
    }
    return { packets, energy }
  }

  /** Plays what it receives: nothing is decoded that nobody hears. */
  listen() {
    this.ear = new Audio()
    this.ear.srcObject = new MediaStream(this.audio.getReceivers().map(({ track }) => track))
    return this.ear.play()
  }
}

window.crowd = Array.from({ length: size }, () => new Visitor())
/** Lets them in one after the other: each waits until another has its audio. */
const comeIn = async (queue) => {
  for (const visitor of queue) {
    await visitor.hello().catch((error) => visitor.events.push(String(error)))
    for (let looks = 0; looks < 100 && visitor.audio?.connectionState !== 'connected'; looks++) await new Promise((later) => setTimeout(later, 50))
  }
}
const queue = crowd.values()
for (let door = 0; door < DOORS; door++) comeIn(queue)

/** Often enough for gaps of a second, and no burden for many calls in one page. */
const LOOK_EVERY_MS = 150

/** A second of the far end's echo has hundreds of times this energy, a second of what stands in for nothing none. */
const SOUND = 0.001

/** Statistics take the browser's time: of a large crowd not all are looked at so often. */
const WATCHED = 12

/** How often a packet comes that was asked for as cheap as can be. */
const PACKET_MS = 60

/**
 * Watches who talks; what it returns tells the longest time that each received nothing, in ms: no packet, or for the first `listeners`
 * of them no sound. Who is not looked at all the while must have received half of all packets at the end, or it was all the time.
 */
window.watchGaps = async (listeners) => {
  const watched = crowd.slice(0, WATCHED).map((visitor) => ({ visitor, sum: 0, since: performance.now(), longest: 0 }))
  const counted = await Promise.all(crowd.slice(WATCHED).map(async (visitor) => {
    const { packets } = await visitor.received()
    return { visitor, packets, since: performance.now() }
  }))
  await Promise.all(crowd.slice(0, listeners).map((visitor) => visitor.listen()))
  let isOver = false
  const look = async (it) => {
    const { packets, energy } = await it.visitor.received()
    const now = performance.now(), sum = it.visitor.ear ? energy : packets
    const isMore = it.visitor.ear ? sum - it.sum > SOUND * (now - it.looked) / 1000 : sum > it.sum
    if (isMore) it.since = now
    Object.assign(it, { sum, looked: now, longest: it.looked ? Math.max(it.longest, Math.round(now - it.since)) : 0 })
  }
  const watch = async () => {
    while (!isOver) {
      await Promise.all(watched.map((it) => look(it).catch(() => {})))
      await new Promise((later) => setTimeout(later, LOOK_EVERY_MS))
    }
  }
  watch()
  return async () => {
    isOver = true
    const count = async ({ visitor, packets, since }) => {
      const more = (await visitor.received()).packets - packets, time = performance.now() - since
      return more >= time / PACKET_MS / 2 ? 0 : Math.round(time)
    }
    return [...watched.map((it) => it.longest), ...(await Promise.all(counted.map(count)))]
  }
}

/** Lets a visitor keep to its call whatever becomes of the socket, as the panel does. */
window.persist = async (visitor) => {
  while (!visitor.ended) {
    if (visitor.isOpen === false) await visitor.reconnect().catch(() => {})
    await new Promise((later) => setTimeout(later, 500 + Math.random() * 500))
  }
}

/** Whoever was refused at the first try, and why. */
window.refused = []

/** More visitors, a few tenths of a second apart, who try again if they are refused. */
window.comeLater = async (count) => {
  for (let n = 0; n < count; n++) {
    const visitor = new Visitor()
    crowd.push(visitor)
    visitor.hello().catch((error) => {
      refused.push(String(error))
      visitor.isOpen = false
    }).then(() => persist(visitor))
    await new Promise((later) => setTimeout(later, 700))
  }
}
