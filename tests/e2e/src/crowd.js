// Many scripted visitors in one page of the signal-server's own origin: each a WebSocket and a peer connection, as the panel has
// them, and nothing of our phone. What they did stands in `crowd`.
const context = new AudioContext()
const tone = context.createOscillator(), out = context.createMediaStreamDestination()
tone.connect(out)
tone.start()

class Visitor {
  events = []
  said = ''

  async greet(more) {
    const panel = await fetch('/panel?merchant=acme&link=sales', { referrerPolicy: 'no-referrer' })
    const token = (await panel.text()).match(/data-token="([^"]+)"/)[1]
    const socket = this.socket = new WebSocket(`ws://${location.host}/ws/visitor`)
    socket.onmessage = ({ data }) => this.heard(JSON.parse(data))
    socket.onclose = () => { if (this.socket === socket) this.isOpen = false }
    await new Promise((opened, failed) => { socket.onopen = opened; socket.onerror = failed })
    this.isOpen = true
    this.say({ type: 'hello', version: 1, token, origin, ...more })
  }

  async hello(resume) {
    await this.greet(resume && { resume })
    const audio = new RTCPeerConnection()
    for (const track of out.stream.getTracks()) audio.addTrack(track, out.stream)
    await audio.setLocalDescription()
    await new Promise((gathered) => {
      audio.onicegatheringstatechange = () => audio.iceGatheringState === 'complete' && gathered()
      audio.onicecandidate = ({ candidate }) => candidate || gathered()
    })
    this.say({ type: 'offer', sdp: audio.localDescription.sdp })
    this.say({ type: 'ready' })
    this.next = audio
  }

  /** The same page over another socket; or from the beginning, if it had not come to a session. */
  async reconnect() {
    if (!this.session) return this.hello()
    await this.greet({ session: this.session, seen: 0 })
    if (!this.audio && this.next) this.say({ type: 'offer', sdp: this.next.localDescription.sdp })
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
    if (event.type === 'resumed') this.resumed = performance.now()
    if (event.type === 'ended') this.ended = event.reason
    if (event.type === 'answer') {
      this.audio?.close()
      this.audio = this.next
      await this.audio.setRemoteDescription({ type: 'answer', sdp: event.sdp })
    }
  }

  async packets() {
    let count = 0
    for (const report of (await this.audio.getStats()).values()) {
      if (report.type === 'inbound-rtp') count += report.packetsReceived
    }
    return count
  }

  /** Tries until a server has the call. */
  async comeBack() {
    while (!this.resumed && !this.ended) {
      await this.hello(this.token).catch(() => {})
      await new Promise((later) => setTimeout(later, 250))
    }
  }
}

window.crowd = Array.from({ length: size }, () => new Visitor())
window.packets = () => Promise.all(crowd.map((visitor) => visitor.packets()))
for (const visitor of crowd) visitor.hello().catch((error) => visitor.events.push(String(error)))

/** Watches who talks; what it returns tells the longest time without a packet of each, in ms. */
window.watchGaps = () => {
  const watched = crowd.map((visitor) => ({ visitor, audio: visitor.audio, count: 0, since: performance.now(), longest: 0 }))
  const timer = setInterval(async () => {
    for (const it of watched) {
      const count = await it.visitor.packets().catch(() => it.count)
      const now = performance.now()
      if (count !== it.count) Object.assign(it, { count, since: now })
      it.longest = Math.max(it.longest, Math.round(now - it.since))
    }
  }, 20)
  return () => (clearInterval(timer), watched.map((it) => it.longest))
}

/** Lets a visitor keep to its call whatever becomes of the socket, as the panel does. */
window.persist = async (visitor) => {
  while (!visitor.ended) {
    if (visitor.isOpen === false) await visitor.reconnect().catch(() => {})
    await new Promise((later) => setTimeout(later, 250))
  }
}

/** More visitors, a few tenths of a second apart. */
window.comeLater = async (count) => {
  for (let n = 0; n < count; n++) {
    const visitor = new Visitor()
    visitor.isOpen = false
    crowd.push(visitor)
    persist(visitor)
    await new Promise((later) => setTimeout(later, 700))
  }
}
