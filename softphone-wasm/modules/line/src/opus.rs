//! Opus, which is another module's (`softphone-wasm/modules/opus`): fetched later than this one, it has a memory of its own. The worklet puts
//! its functions into this module's table, and here they are called like any others; as neither side sees the other's memory, packets
//! and samples pass as numbers. So playout has the decoder that it wants, with redundancy and concealment, and no sample changes its place when
//! that comes.
//!
//! Deliberately not here: the codec, and G.711 but for what stands beside Opus in one stream.

use dsp::g711::Law;
use dsp::playout::{Codec, G711};
use dsp::units;
use frame::Kind;

/// Bytes that pass at a time.
const WORD: usize = 4;

/// What an encoder makes of a piece that discontinuous transmission leaves out, in bytes: such a packet need not be sent.
const DTX_PACKET: usize = 2;

/// What the Opus module exports, in the order in which the worklet puts it into the table. `abi.rs` of that module says what each does.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "they are documented where they are defined")]
pub struct Opus {
    pub set_word: extern "C" fn(usize, u32),
    pub word: extern "C" fn(usize) -> u32,
    pub set_sample: extern "C" fn(usize, i32),
    pub sample: extern "C" fn(usize) -> i32,
    pub encode: extern "C" fn(usize) -> usize,
    pub decode: extern "C" fn(usize) -> usize,
    pub recover: extern "C" fn(usize, usize) -> usize,
    pub has_redundancy: extern "C" fn(usize) -> i32,
    pub conceal: extern "C" fn(usize) -> usize,
    pub reset_encoder: extern "C" fn(),
    pub reset_decoder: extern "C" fn(),
}

impl Opus {
    fn put(&self, packet: &[u8]) {
        for (at, bytes) in packet.chunks(WORD).enumerate() {
            let mut word = [0; WORD];
            word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            (self.set_word)(at, u32::from_le_bytes(word));
        }
    }

    fn take(&self, made: usize, pcm: &mut [f32]) -> usize {
        let samples = pcm.iter_mut().take(made).enumerate();
        samples.map(|(at, slot)| *slot = units::from_i16((self.sample)(at) as i16)).count()
    }
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coded {
    /// A packet of so many bytes.
    Packet(usize),
    /// Nobody speaks: nothing need be sent.
    LeftOut,
    /// There is no Opus, or it does not do as it should.
    Failed,
}

/// Codes what is spoken and decodes what came, each packet of which says what it is: its first byte is a frame's kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coder {
    opus: Option<Opus>,
    /// What came last decides who conceals.
    is_opus: bool,
}

impl Coder {
    pub(crate) fn new(opus: Option<Opus>) -> Self {
        Self { opus, is_opus: false }
    }

    pub(crate) fn has_opus(&self) -> bool {
        self.opus.is_some()
    }

    /// Codes as many samples as a packet holds.
    pub(crate) fn encode(&self, samples: &[i16], packet: &mut [u8]) -> Coded {
        let Some(opus) = &self.opus else { return Coded::Failed };
        samples.iter().enumerate().for_each(|(at, sample)| (opus.set_sample)(at, i32::from(*sample)));
        let length = (opus.encode)(packet.len()).min(packet.len());
        for (at, bytes) in packet.chunks_mut(WORD).take(length.div_ceil(WORD)).enumerate() {
            let word = (opus.word)(at).to_le_bytes();
            bytes.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        }
        match length {
            0 => Coded::Failed,
            1..=DTX_PACKET => Coded::LeftOut,
            _ => Coded::Packet(length),
        }
    }

    pub(crate) fn reset_encoder(&self) {
        if let Some(opus) = &self.opus {
            (opus.reset_encoder)();
        }
    }

    /// Opus and the packet in it, if both are there.
    fn opus_of<'a>(&self, payload: &'a [u8]) -> Option<(Opus, &'a [u8])> {
        let (_, packet) = payload.split_first().filter(|(kind, _)| **kind == Kind::Opus.number())?;
        Some((self.opus?, packet))
    }
}

impl Codec for Coder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        let Some((&kind, codes)) = payload.split_first() else { return 0 };
        let law = match Kind::from_number(kind) {
            Some(Kind::Pcmu) => Law::Mu,
            Some(Kind::Pcma) => Law::A,
            Some(Kind::Opus) | None => {
                let Some((opus, packet)) = self.opus_of(payload) else { return 0 };
                self.is_opus = true;
                opus.put(packet);
                return opus.take((opus.decode)(packet.len()), pcm);
            }
        };
        self.is_opus = false;
        G711(law).decode(codes, pcm)
    }

    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        let Some((opus, packet)) = self.opus_of(next) else { return 0 };
        opus.put(packet);
        opus.take((opus.recover)(packet.len(), pcm.len()), pcm)
    }

    fn has_redundancy(&self, next: &[u8]) -> bool {
        self.opus_of(next).is_some_and(|(opus, packet)| {
            opus.put(packet);
            (opus.has_redundancy)(packet.len()) != 0
        })
    }

    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        match self.opus.filter(|_| self.is_opus) {
            Some(opus) => opus.take((opus.conceal)(pcm.len()), pcm),
            None => 0,
        }
    }

    fn reset(&mut self) {
        if let Some(opus) = &self.opus {
            (opus.reset_decoder)();
        }
    }
}
