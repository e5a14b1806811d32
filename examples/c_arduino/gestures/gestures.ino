// Which gesture does the accelerometer see? The network of examples/gestures.py on an Arduino.
//
//   shiftwright build gestures.pt2 --data gestures.npz --scheme log2:4,levels=4 --target c --name gestures -o gestures
//   cp gestures/hardware/c/gestures.c gestures/hardware/c/gestures.h examples/c_arduino/gestures/
//
// then open this folder with the Arduino IDE, or `pio run` in the folder above. On AVR the weights stay in flash.
#define GESTURES_WITH_FLOAT
#include "gestures.h"

static gestures_input_t input[GESTURES_INPUTS];
static gestures_output_t output[GESTURES_OUTPUTS];
static const uint8_t SENSOR = A0;

void setup() {
  Serial.begin(115200);
}

void loop() {
  for (uint8_t i = 0; i < GESTURES_INPUTS; i++) {
    const float volts = analogRead(SENSOR) * (5.0f / 1023.0f);

    input[i] = gestures_quantise(volts - 2.5f);
    delay(20);
  }

  const uint32_t start = micros();
  gestures_run(input, output);
  const uint32_t took = micros() - start;

  uint8_t best = 0;
  for (uint8_t i = 1; i < GESTURES_OUTPUTS; i++) {
    if (output[i] > output[best]) {
      best = i;
    }
  }
  Serial.print(F("gesture "));
  Serial.print(best);
  Serial.print(F(", microseconds "));
  Serial.println(took);
}
